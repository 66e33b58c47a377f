-- The trigger-based schema: agents' tables are built inside the INSERT, by functions that grew over
-- the years. The setting legacy.generation says how old the code is that builds the next agent.

create type public.role as enum ('admin', 'agent');

create table public.users (
    id uuid primary key default gen_random_uuid(),
    name varchar(255) not null,
    email varchar(255) unique not null,
    role public.role not null,
    created_at timestamptz default current_timestamp
);
create table public.agents (
    id bigserial primary key,
    agent_prefix varchar(20) not null unique,
    created_at timestamptz default current_timestamp,
    user_id uuid references public.users (id) on delete set null,
    created_by uuid references public.users (id) on delete set null
);
create table public.whatsapp_configuration (
    id bigserial primary key,
    user_id uuid not null unique references public.users (id) on delete cascade,
    whatsapp_number varchar(20) not null,
    webhook_url text not null,
    api_key text,
    business_account_id varchar(100),
    phone_number_id varchar(100),
    is_active boolean default true,
    created_at timestamptz default current_timestamp,
    updated_at timestamptz default current_timestamp
);
alter table public.users enable row level security;
alter table public.agents enable row level security;
create policy "Authenticated users can read" on public.agents for select to authenticated using (true);
create policy "Service role full access" on public.agents using (true) with check (true);

-- Who was built here: for the test, not for the schema.
create table public.legacy_builds (prefix text not null);

create function public.make_core(p text, id bigint, generation int) returns void language plpgsql as $$
begin
    execute format('create table public.%I (id serial primary key, agent_id bigint not null%s, name text%s,
        phone text not null, created_at timestamp default now())', p || '_customers',
        case generation when 1 then '' when 2 then ' references public.agents (id)'
             else ' references public.agents (id) on delete cascade' end,
        case generation when 2 then '' else ' not null' end);
    execute format('create table public.%I (id serial primary key,
        customer_id integer not null references public.%I (id) on delete cascade, message text not null,
        direction varchar(10) not null check (direction in (''inbound'', ''outbound'')),
        "timestamp" timestamp default now())', p || '_messages', p || '_customers');
end $$;

create function public.make_orders(p text, generation int) returns void language plpgsql as $$
begin
    execute format('create table public.%I (id serial%s,
        customer_id integer not null references public.%I (id) on delete cascade,
        total_amount decimal(10, 2) default 0, status varchar(50)%s)', p || '_orders',
        case generation when 2 then format(' constraint %I primary key', p || '_orders_pk')
             else ' primary key' end, p || '_customers',
        case generation when 2 then '' else ' default ''pending'', notes text, shipping_address text,
            created_at timestamp default now(), updated_at timestamp default now()' end);
    execute format('create table public.%I (id serial primary key,
        order_id integer not null references public.%I (id) on delete cascade, name text not null,
        quantity integer not null default 1 check (quantity > 0),
        price decimal(10, 2) not null default 0 check (price >= 0),
        total decimal(10, 2) generated always as (quantity * price) stored,
        created_at timestamp default now())', p || '_orders_items', p || '_orders');
end $$;

create function public.create_agent_indexes(prefix text, generation int) returns void language plpgsql as $$
declare
    pattern constant text := case generation when 2 then 'idx_%s_%s_%s' else '%s_%s_%s_idx' end;
    wanted record;
begin
    for wanted in
        select * from (values ('customers', 'agent_id', 'agent_id'), ('customers', 'phone', 'phone'),
            ('messages', 'customer_id', 'customer_id'), ('messages', 'timestamp', '"timestamp" desc'),
            ('orders', 'customer_id_status', 'customer_id, status')) w (tab, name, columns)
    loop
        execute format('create index %I on public.%I (%s)',
            format(pattern, prefix, wanted.tab, wanted.name), prefix || '_' || wanted.tab, wanted.columns);
    end loop;
end $$;

create function public.protect(p text, generation int) returns void language plpgsql as $$
declare
    chain text := 'exists (select from public.agents a where a.id = agent_id and a.user_id = auth.uid())';
    tab text;
begin
    foreach tab in array array['customers', 'messages', 'orders', 'orders_items'] loop
        execute format('alter table public.%I enable row level security', p || '_' || tab);
        execute format('create policy "Service role full access" on public.%I using (true) with check (true)',
            p || '_' || tab);
    end loop;
    execute format('create policy %I on public.%I for select to authenticated using (%s)',
        p || '_customers_policy', p || '_customers', chain);
    execute format('create policy %I on public.%I for all to authenticated using (exists (
        select from public.%I c join public.agents a on a.id = c.agent_id
        where c.id = customer_id and a.user_id = auth.uid()))',
        p || '_messages_policy', p || '_messages', p || '_customers');
end $$;

create function public.build_everything(p text, id bigint) returns void language plpgsql as $$
declare
    generation constant int := coalesce(nullif(current_setting('legacy.generation', true), ''), '3');
begin
    insert into public.legacy_builds values (p);
    perform public.make_core(p, id, generation);
    if generation > 1 then
        perform public.make_orders(p, generation);
        perform public.create_agent_indexes(p, generation);
    end if;
    if generation > 2 then
        perform public.protect(p, generation);
    end if;
end $$;

-- The triggers' own functions name no table: the work is done elsewhere.
create function public.on_agent_created() returns trigger language plpgsql security definer as $$
begin
    perform public.build_everything(new.agent_prefix, new.id);
    return new;
end $$;
create function public.before_agent_created() returns trigger language plpgsql security definer as $$
begin
    execute format('CREATE TABLE public.%I (key text primary key, value text)', new.agent_prefix || '_settings');
    return new;
end $$;
create function public.drop_agent_tables(prefix text) returns void language plpgsql as $$
begin
    execute format('drop table if exists public.%I, public.%I, public.%I, public.%I', prefix || '_orders_items',
        prefix || '_orders', prefix || '_messages', prefix || '_customers');
end $$;
-- Bears the name of a documented function, and is another.
create function public.delete_agent() returns trigger language plpgsql security definer as $$
begin
    perform public.drop_agent_tables(old.agent_prefix);
    return old;
end $$;
create function public.tell() returns trigger language plpgsql as $$
begin
    perform pg_notify('somebody', new.agent_prefix);
    return new;
end $$;

create trigger build after insert on public.agents for each row execute function public.on_agent_created();
create trigger before_build before insert on public.agents
    for each row execute function public.before_agent_created();
create trigger drop_all after delete on public.agents for each row execute function public.delete_agent();
create trigger tell after insert on public.agents for each row execute function public.tell();
