-- One agent's tables on one of Citus' workers: sql/agent/0001_crm.sql, with the policies that Citus takes. docs/citus.md

-- The triggers touch tables of the same agent only, which are on the same worker.
set local citus.enable_unsafe_triggers = on;

create table public.{prefix}_customers (
    id         serial primary key,
    -- The policies below rest on this: the table holds this agent's rows and no others.
    agent_id   bigint not null default {agent_id}
               constraint {prefix}_customers_agent_id_check check (agent_id = {agent_id}),
    name       text not null,
    phone      text not null,
    created_at timestamp default timezone('utc', now())
);

create table public.{prefix}_messages (
    id          serial primary key,
    customer_id integer not null references public.{prefix}_customers (id) on delete cascade,
    message     text not null,
    direction   varchar(10) not null check (direction in ('inbound', 'outbound')),
    "timestamp" timestamp default timezone('utc', now())
);

create table public.{prefix}_orders (
    id               serial primary key,
    customer_id      integer not null references public.{prefix}_customers (id) on delete cascade,
    total_amount     numeric(10, 2) default 0,
    status           varchar(50) default 'pending',
    notes            text,
    shipping_address text,
    created_at       timestamp default timezone('utc', now()),
    updated_at       timestamp default timezone('utc', now())
);

create table public.{prefix}_orders_items (
    id         serial primary key,
    order_id   integer not null references public.{prefix}_orders (id) on delete cascade,
    name       text not null,
    quantity   integer not null default 1 check (quantity > 0),
    price      numeric(10, 2) not null default 0 check (price >= 0),
    total      numeric(10, 2) generated always as (quantity * price) stored,
    created_at timestamp default timezone('utc', now())
);

create index {prefix}_customers_agent_id_idx on public.{prefix}_customers (agent_id);
create index {prefix}_customers_phone_idx on public.{prefix}_customers (phone);
create index {prefix}_customers_created_at_idx on public.{prefix}_customers (created_at);
create index {prefix}_messages_customer_id_idx on public.{prefix}_messages (customer_id);
create index {prefix}_messages_direction_idx on public.{prefix}_messages (direction);
create index {prefix}_messages_timestamp_idx on public.{prefix}_messages ("timestamp" desc);
create index {prefix}_messages_customer_id_timestamp_idx
    on public.{prefix}_messages (customer_id, "timestamp" desc);
create index {prefix}_orders_customer_id_idx on public.{prefix}_orders (customer_id);
create index {prefix}_orders_status_idx on public.{prefix}_orders (status);
create index {prefix}_orders_created_at_idx on public.{prefix}_orders (created_at);
create index {prefix}_orders_customer_id_status_idx
    on public.{prefix}_orders (customer_id, status);
create index {prefix}_orders_items_order_id_idx on public.{prefix}_orders_items (order_id);

-- The ids are serial, and drawn by a function: a nextval() for all of authenticated would let every user use up
-- the ids of this agent.
-- Forced: not even the role that builds the tables reads customers' rows. Foreign keys still work.
alter table public.{prefix}_customers
    alter id set default provisioning.next_id({agent_id}, 'public.{prefix}_customers_id_seq', current_user),
    enable row level security, force row level security;
alter table public.{prefix}_messages
    alter id set default provisioning.next_id({agent_id}, 'public.{prefix}_messages_id_seq', current_user),
    enable row level security, force row level security;
alter table public.{prefix}_orders
    alter id set default provisioning.next_id({agent_id}, 'public.{prefix}_orders_id_seq', current_user),
    enable row level security, force row level security;
alter table public.{prefix}_orders_items
    alter id set default provisioning.next_id({agent_id}, 'public.{prefix}_orders_items_id_seq', current_user),
    enable row level security, force row level security;

-- A policy may have no subquery here. setup.sql has each request of the API say whose agent it is for.
create policy {prefix}_customers_owner on public.{prefix}_customers for all to authenticated
    using (current_setting('app.agent', true) = any (array['{agent_id}', 'admin']))
    with check (current_setting('app.agent', true) = any (array['{agent_id}', 'admin']));
create policy {prefix}_messages_owner on public.{prefix}_messages for all to authenticated
    using (current_setting('app.agent', true) = any (array['{agent_id}', 'admin']))
    with check (current_setting('app.agent', true) = any (array['{agent_id}', 'admin']));
create policy {prefix}_orders_owner on public.{prefix}_orders for all to authenticated
    using (current_setting('app.agent', true) = any (array['{agent_id}', 'admin']))
    with check (current_setting('app.agent', true) = any (array['{agent_id}', 'admin']));
create policy {prefix}_orders_items_owner on public.{prefix}_orders_items for all to authenticated
    using (current_setting('app.agent', true) = any (array['{agent_id}', 'admin']))
    with check (current_setting('app.agent', true) = any (array['{agent_id}', 'admin']));

-- Whatever the project grants by default: start from nothing, then grant what is meant.
revoke all on public.{prefix}_customers, public.{prefix}_messages, public.{prefix}_orders,
    public.{prefix}_orders_items from public, anon, authenticated, service_role;
revoke all on sequence public.{prefix}_customers_id_seq, public.{prefix}_messages_id_seq,
    public.{prefix}_orders_id_seq, public.{prefix}_orders_items_id_seq
    from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.{prefix}_customers, public.{prefix}_messages,
    public.{prefix}_orders, public.{prefix}_orders_items to authenticated, service_role;
grant usage on sequence public.{prefix}_customers_id_seq, public.{prefix}_messages_id_seq,
    public.{prefix}_orders_id_seq, public.{prefix}_orders_items_id_seq to service_role;

create trigger touch_updated_at before update on public.{prefix}_orders
    for each row execute function provisioning.touch_updated_at();

-- Transition tables allow one event per trigger.
create trigger total_orders_insert after insert on public.{prefix}_orders_items
    referencing new table as inserted
    for each statement execute function provisioning.total_orders('{prefix}_orders');
create trigger total_orders_update after update on public.{prefix}_orders_items
    referencing old table as deleted new table as inserted
    for each statement execute function provisioning.total_orders('{prefix}_orders');
create trigger total_orders_delete after delete on public.{prefix}_orders_items
    referencing old table as deleted
    for each statement execute function provisioning.total_orders('{prefix}_orders');
create trigger total_orders_truncate after truncate on public.{prefix}_orders_items
    for each statement execute function provisioning.total_orders('{prefix}_orders');

comment on table public.{prefix}_customers is 'managed by agent-provisioner';
comment on table public.{prefix}_messages is 'managed by agent-provisioner';
comment on table public.{prefix}_orders is 'managed by agent-provisioner';
comment on table public.{prefix}_orders_items is 'managed by agent-provisioner';

-- To one worker each, the four together. Until here they were tables of the coordinator.
select create_distributed_table('public.{prefix}_customers', null, colocate_with => 'none');
select create_distributed_table('public.{prefix}_messages', null, colocate_with => 'public.{prefix}_customers');
select create_distributed_table('public.{prefix}_orders', null, colocate_with => 'public.{prefix}_customers');
select create_distributed_table('public.{prefix}_orders_items', null, colocate_with => 'public.{prefix}_customers');
