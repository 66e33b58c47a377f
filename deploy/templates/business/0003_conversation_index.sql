-- The messages of a conversation, and those that have none yet. Built while people go on writing.
-- provisioner: concurrently

create index concurrently if not exists {prefix}_messages_conversation_id_customer_id_idx
    on public.{prefix}_messages (conversation_id, customer_id);
