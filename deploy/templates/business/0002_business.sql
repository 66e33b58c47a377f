-- For agents of businesses: staff works with the tables and deletes nothing, customers may hide their phone number, and
-- messages belong to conversations.

-- At once, and in the order in which writers come to them: who writes a message has its table first, and then looks for
-- the customer.
lock table public.{prefix}_orders_items, public.{prefix}_orders, public.{prefix}_messages, public.{prefix}_customers
    in access exclusive mode;

-- Since 2026 WhatsApp withholds phone numbers, and names such a customer by an id, as in US.13491208655302741918.
alter table public.{prefix}_customers
    alter phone drop not null,
    add column wa_user_id text
        constraint {prefix}_customers_wa_user_id_check check (wa_user_id ~ '^[A-Z]{2}[.][A-Za-z0-9]{1,128}$'),
    add constraint {prefix}_customers_reachable_check check (num_nonnulls(phone, wa_user_id) > 0);
create unique index {prefix}_customers_wa_user_id_idx on public.{prefix}_customers (wa_user_id)
    where wa_user_id is not null;

-- What a customer writes to a number. Of messages from before there were numbers the number is null.
create table public.{prefix}_conversations (
    id                 serial primary key,
    customer_id        integer not null references public.{prefix}_customers (id) on delete cascade,
    whatsapp_number_id uuid,
    status             varchar(20) not null default 'open' check (status in ('open', 'waiting', 'closed')),
    last_message_at    timestamp,
    created_at         timestamp default timezone('utc', now()),
    constraint {prefix}_conversations_customer_number_key
        unique nulls not distinct (customer_id, whatsapp_number_id),
    constraint {prefix}_conversations_id_customer_id_key unique (id, customer_id)
);
create index {prefix}_conversations_number_status_idx
    on public.{prefix}_conversations (whatsapp_number_id, status);
create index {prefix}_conversations_last_message_at_idx
    on public.{prefix}_conversations (last_message_at desc);

-- The key keeps a message with its own customer's conversation.
alter table public.{prefix}_messages
    add column conversation_id integer,
    add constraint {prefix}_messages_conversation_id_fkey foreign key (conversation_id, customer_id)
        references public.{prefix}_conversations (id, customer_id) on delete set null (conversation_id);

alter table public.{prefix}_conversations
    alter id set default provisioning.next_id({agent_id}, 'public.{prefix}_conversations_id_seq', current_user),
    enable row level security, force row level security;

-- The number is one of the agent's business. By a trigger: a key would need a right on the table of numbers.
create trigger check_number before insert or update of whatsapp_number_id on public.{prefix}_conversations
    for each row when (new.whatsapp_number_id is not null)
    execute function provisioning.check_number('{agent_id}');
create trigger note_messages after insert on public.{prefix}_messages
    referencing new table as inserted
    for each statement execute function provisioning.note_messages('{prefix}_conversations');

create policy {prefix}_conversations_owner on public.{prefix}_conversations for all to authenticated
    using ((select provisioning.staffed_agent({agent_id})) is not null)
    with check ((select provisioning.staffed_agent({agent_id})) is not null);
alter policy {prefix}_customers_owner on public.{prefix}_customers
    using ((select provisioning.staffed_agent({agent_id})) is not null)
    with check ((select provisioning.staffed_agent({agent_id})) is not null);
alter policy {prefix}_messages_owner on public.{prefix}_messages
    using ((select provisioning.staffed_agent({agent_id})) is not null)
    with check ((select provisioning.staffed_agent({agent_id})) is not null);
alter policy {prefix}_orders_owner on public.{prefix}_orders
    using ((select provisioning.staffed_agent({agent_id})) is not null)
    with check ((select provisioning.staffed_agent({agent_id})) is not null);
alter policy {prefix}_orders_items_owner on public.{prefix}_orders_items
    using ((select provisioning.staffed_agent({agent_id})) is not null)
    with check ((select provisioning.staffed_agent({agent_id})) is not null);

-- Beside the policies above, and only for DELETE: not for staff.
create policy {prefix}_conversations_delete on public.{prefix}_conversations as restrictive for delete to authenticated
    using ((select provisioning.owned_agent({agent_id})) is not null);
create policy {prefix}_customers_delete on public.{prefix}_customers as restrictive for delete to authenticated
    using ((select provisioning.owned_agent({agent_id})) is not null);
create policy {prefix}_messages_delete on public.{prefix}_messages as restrictive for delete to authenticated
    using ((select provisioning.owned_agent({agent_id})) is not null);
create policy {prefix}_orders_delete on public.{prefix}_orders as restrictive for delete to authenticated
    using ((select provisioning.owned_agent({agent_id})) is not null);
create policy {prefix}_orders_items_delete on public.{prefix}_orders_items as restrictive for delete to authenticated
    using ((select provisioning.owned_agent({agent_id})) is not null);

revoke all on public.{prefix}_conversations from public, anon, authenticated, service_role;
revoke all on sequence public.{prefix}_conversations_id_seq from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.{prefix}_conversations to authenticated, service_role;
grant usage on sequence public.{prefix}_conversations_id_seq to service_role;

comment on table public.{prefix}_conversations is 'managed by agent-provisioner';
