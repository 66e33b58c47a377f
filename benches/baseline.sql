-- The baseline: the documented schema with its trigger, which builds an agent's tables inside the
-- admin's INSERT and drops them inside the DELETE. Only what the benches touch.

create type public.role as enum ('admin', 'agent');

create table public.users (
    id         uuid primary key default gen_random_uuid(),
    name       varchar(255) not null,
    email      varchar(255) unique not null,
    role       public.role not null,
    created_at timestamptz default current_timestamp
);
create index users_email_idx on public.users (email);
create index users_role_idx on public.users (role);

create table public.agents (
    id           bigserial primary key,
    agent_prefix varchar(20) not null unique,
    created_at   timestamptz default current_timestamp,
    user_id      uuid references public.users (id) on delete set null,
    created_by   uuid references public.users (id) on delete set null
);
create index agents_agent_prefix_idx on public.agents (agent_prefix);
create index agents_user_id_idx on public.agents (user_id);
create index agents_created_by_idx on public.agents (created_by);

alter table public.users enable row level security;
alter table public.agents enable row level security;
create policy users_read on public.users for select to authenticated using (true);
create policy agents_read on public.agents for select to authenticated using (true);

-- So that both sides have the same users.
create function public.follow_auth_users() returns trigger language plpgsql security definer as $$
begin
    insert into public.users (id, name, email, role) values (new.id, new.email, new.email, 'agent');
    return new;
end $$;
create trigger follow after insert on auth.users
    for each row execute function public.follow_auth_users();

create function public.create_agent_indexes(prefix text) returns void language plpgsql as $$
begin
    execute format('create index %I on public.%I (agent_id)', 'idx_' || prefix || '_customers_agent_id', prefix || '_customers');
    execute format('create index %I on public.%I (phone)', 'idx_' || prefix || '_customers_phone', prefix || '_customers');
    execute format('create index %I on public.%I (created_at)', 'idx_' || prefix || '_customers_created_at', prefix || '_customers');
    execute format('create index %I on public.%I (customer_id)', 'idx_' || prefix || '_messages_customer_id', prefix || '_messages');
    execute format('create index %I on public.%I (direction)', 'idx_' || prefix || '_messages_direction', prefix || '_messages');
    execute format('create index %I on public.%I (timestamp desc)', 'idx_' || prefix || '_messages_timestamp', prefix || '_messages');
    execute format('create index %I on public.%I (customer_id, timestamp desc)', 'idx_' || prefix || '_messages_customer_timestamp', prefix || '_messages');
    execute format('create index %I on public.%I (customer_id)', 'idx_' || prefix || '_orders_customer_id', prefix || '_orders');
    execute format('create index %I on public.%I (status)', 'idx_' || prefix || '_orders_status', prefix || '_orders');
    execute format('create index %I on public.%I (created_at)', 'idx_' || prefix || '_orders_created_at', prefix || '_orders');
    execute format('create index %I on public.%I (customer_id, status)', 'idx_' || prefix || '_orders_customer_status', prefix || '_orders');
    execute format('create index %I on public.%I (order_id)', 'idx_' || prefix || '_orders_items_order_id', prefix || '_orders_items');
end $$;

create function public.create_agent_tables(prefix text, agent_id bigint) returns void
    language plpgsql as $$
declare
    chain constant text := 'select 1 from public.agents a where a.user_id = (select auth.uid()) and a.id = ';
    t text;
begin
    execute format('create table public.%I (
        id serial primary key,
        agent_id bigint not null references public.agents (id) on delete cascade,
        name text not null,
        phone text not null,
        created_at timestamp default now())', prefix || '_customers');
    execute format('create table public.%I (
        id serial primary key,
        customer_id integer not null references public.%I (id) on delete cascade,
        message text not null,
        direction varchar(10) not null check (direction in (''inbound'', ''outbound'')),
        timestamp timestamp default now())', prefix || '_messages', prefix || '_customers');
    execute format('create table public.%I (
        id serial primary key,
        customer_id integer not null references public.%I (id) on delete cascade,
        total_amount decimal(10, 2) default 0,
        status varchar(50) default ''pending'',
        notes text,
        shipping_address text,
        created_at timestamp default now(),
        updated_at timestamp default now())', prefix || '_orders', prefix || '_customers');
    execute format('create table public.%I (
        id serial primary key,
        order_id integer not null references public.%I (id) on delete cascade,
        name text not null,
        quantity integer not null default 1 check (quantity > 0),
        price decimal(10, 2) not null default 0 check (price >= 0),
        total decimal(10, 2) generated always as (quantity * price) stored,
        created_at timestamp default now())', prefix || '_orders_items', prefix || '_orders');

    perform public.create_agent_indexes(prefix);

    foreach t in array array['_customers', '_messages', '_orders', '_orders_items'] loop
        execute format('alter table public.%I enable row level security', prefix || t);
        execute format('grant all on public.%I to authenticated, service_role', prefix || t);
        execute format('grant usage on sequence public.%I to authenticated, service_role', prefix || t || '_id_seq');
        execute format('create policy service on public.%I to service_role using (true) with check (true)', prefix || t);
    end loop;
    -- Ownership, from table to table up to the agent.
    execute format('create policy own on public.%1$I to authenticated using (exists (%2$s %1$I.agent_id))',
        prefix || '_customers', chain);
    execute format('create policy own on public.%1$I to authenticated using (exists (
        select 1 from public.%2$I c join public.agents a on a.id = c.agent_id
        where c.id = %1$I.customer_id and a.user_id = auth.uid()))',
        prefix || '_messages', prefix || '_customers');
    execute format('create policy own on public.%1$I to authenticated using (exists (
        select 1 from public.%2$I c join public.agents a on a.id = c.agent_id
        where c.id = %1$I.customer_id and a.user_id = auth.uid()))',
        prefix || '_orders', prefix || '_customers');
    execute format('create policy own on public.%1$I to authenticated using (exists (
        select 1 from public.%2$I o join public.%3$I c on c.id = o.customer_id
        join public.agents a on a.id = c.agent_id
        where o.id = %1$I.order_id and a.user_id = auth.uid()))',
        prefix || '_orders_items', prefix || '_orders', prefix || '_customers');
end $$;

create function public.drop_agent_tables(prefix text) returns void language plpgsql as $$
begin
    execute format('drop table if exists public.%I, public.%I, public.%I, public.%I cascade',
        prefix || '_orders_items', prefix || '_orders', prefix || '_messages', prefix || '_customers');
end $$;

create function public.agent_created() returns trigger language plpgsql security definer as $$
begin
    perform public.create_agent_tables(new.agent_prefix, new.id);
    return new;
end $$;
create trigger agent_created after insert on public.agents
    for each row execute function public.agent_created();

create function public.agent_deleted() returns trigger language plpgsql security definer as $$
begin
    perform public.drop_agent_tables(old.agent_prefix);
    return old;
end $$;
create trigger agent_deleted after delete on public.agents
    for each row execute function public.agent_deleted();
