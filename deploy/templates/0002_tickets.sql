-- An example of a table of your own: support tickets, with a type for each agent, one row to begin
-- with, and live updates.

create type public.{prefix}_ticket_status as enum ('open', 'waiting', 'closed');

create table public.{prefix}_tickets (
    id          serial primary key,
    customer_id integer references public.{prefix}_customers (id) on delete cascade,
    subject     text not null,
    status      public.{prefix}_ticket_status not null default 'open',
    created_at  timestamp default timezone('utc', now())
);

create index {prefix}_tickets_customer_id_idx on public.{prefix}_tickets (customer_id);
create index {prefix}_tickets_unclosed_idx on public.{prefix}_tickets (created_at)
    where status <> 'closed';

-- While row level security is off: later not even the worker may write here.
insert into public.{prefix}_tickets (subject) values ('Welcome! This is where your tickets are.');

-- No user draws ids of this agent but its own.
alter table public.{prefix}_tickets
    alter id set default provisioning.next_id({agent_id}, 'public.{prefix}_tickets_id_seq', current_user),
    enable row level security, force row level security;

create policy {prefix}_tickets_owner on public.{prefix}_tickets for all to authenticated
    using ((select provisioning.owned_agent({agent_id})) is not null)
    with check ((select provisioning.owned_agent({agent_id})) is not null);

revoke all on public.{prefix}_tickets from public, anon, authenticated, service_role;
revoke all on sequence public.{prefix}_tickets_id_seq from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.{prefix}_tickets to authenticated, service_role;
grant usage on sequence public.{prefix}_tickets_id_seq to service_role;

comment on table public.{prefix}_tickets is 'managed by agent-provisioner';

-- Supabase Realtime passes on what happens here. The same as "tickets" in the setting `realtime`.
select provisioning.publish('public.{prefix}_tickets');
