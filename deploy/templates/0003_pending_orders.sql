-- For agents that have many orders by now: the index is built while people go on writing.
-- provisioner: concurrently

create index concurrently if not exists {prefix}_orders_pending_idx
    on public.{prefix}_orders (created_at) where status = 'pending';
