-- The CRM's own tables: users, agents, whatsapp_configuration.
--
-- On a database where the trigger-based schema made these tables they are kept and brought in line.
-- Functions, triggers, row security, policies and grants are in sql/base. They follow in the same transaction.

-- All of them, or none: whoever inserts an agent locks them in one order and who lets a function do it
-- in another, so waiting for one while holding another would be somebody's deadlock. auth.users gets a trigger
-- below: nobody may wait for that lock with everybody who signs up behind. Where this role may
-- not lock it, the trigger has to.
do $$
declare
    before   constant text := current_setting('lock_timeout');
    deadline constant timestamptz := clock_timestamp() + interval '30 s';
    asked    timestamptz;
    theirs   constant text := (
        select string_agg(format('public.%I', t.tablename), ', ' order by t.tablename)
        from pg_catalog.pg_tables t
        where t.schemaname = 'public'
          and t.tablename in ('users', 'agents', 'whatsapp_configuration')
    );
begin
    loop
        asked := clock_timestamp();
        begin
            -- Whoever comes behind us waits, too: briefly, and seldom.
            set local lock_timeout = '20ms';
            if has_table_privilege(to_regclass('auth.users'), 'update') then
                lock table auth.users in share row exclusive mode;
            end if;
            if theirs is not null then
                execute format('lock table %s in access exclusive mode', theirs);
            end if;
            exit;
        exception when lock_not_available then
            -- `migrate` rolls back, and tries again itself.
            if clock_timestamp() > deadline or current_setting('provisioning.wait_for_locks', true) = 'off' then
                raise;
            end if;
            perform pg_sleep(50 * extract(epoch from clock_timestamp() - asked));
        end;
    end loop;
    perform set_config('lock_timeout', before, true);
end $$;

do $$
begin
    if to_regtype('public.role') is null then
        create type public.role as enum ('admin', 'agent');
    end if;
end $$;

create table if not exists public.users (
    id         uuid primary key default gen_random_uuid()
               references auth.users (id) on delete cascade,
    name       varchar(255) not null,
    email      varchar(255) not null unique,
    role       public.role not null default 'agent',
    created_at timestamptz default current_timestamp
);

create table if not exists public.agents (
    id           bigserial primary key,
    agent_prefix varchar(20) not null unique
                 constraint agents_agent_prefix_check
                 check (agent_prefix ~ '^[a-z][a-z0-9_]{1,19}$'),
    created_at   timestamptz default current_timestamp,
    user_id      uuid unique references public.users (id) on delete set null,
    -- Nullable: not null would contradict "on delete set null". create_agent demands it.
    created_by   uuid references public.users (id) on delete set null
);

create table if not exists public.whatsapp_configuration (
    id                  bigserial primary key,
    user_id             uuid not null unique references public.users (id) on delete cascade,
    whatsapp_number     varchar(20) not null,
    webhook_url         text not null,
    api_key             text,
    verify_token        text,
    business_account_id varchar(100),
    phone_number_id     varchar(100),
    is_active           boolean default true,
    created_at          timestamptz default current_timestamp,
    updated_at          timestamptz default current_timestamp
);

-- What the trigger-based schema left: on a new database this finds nothing to do.
do $$
declare
    old record;
begin
    -- Permissive policies add up, so one forgotten policy would undo ours.
    for old in
        select p.policyname, p.tablename from pg_catalog.pg_policies p
        where p.schemaname = 'public'
          and p.tablename in ('users', 'agents', 'whatsapp_configuration')
    loop
        execute format('drop policy %I on public.%I', old.policyname, old.tablename);
    end loop;

    -- From here on the worker builds the tables. Disabled, not dropped: the way back stays open.
    -- A trigger may leave the work to functions that it calls.
    for old in
        with recursive called as (
            select t.tgname, t.tgfoid as oid
            from pg_catalog.pg_trigger t
            where t.tgrelid = 'public.agents'::regclass and not t.tgisinternal and t.tgenabled <> 'D'
            union
            select c.tgname, p.oid
            from called c
            join pg_catalog.pg_proc f on f.oid = c.oid
            cross join lateral regexp_matches(f.prosrc, '([[:alnum:]_]+)"?[[:space:]]*[(]', 'g') m (words)
            join pg_catalog.pg_proc p on p.proname = any (array[m.words[1], lower(m.words[1] collate "C")])
                and p.pronamespace <> 'pg_catalog'::regnamespace
        )
        select distinct c.tgname
        from called c join pg_catalog.pg_proc p on p.oid = c.oid
        where p.prosrc collate "C" ~* '(create|drop)_agent_tables|(create|drop)[[:space:]]+table'
    loop
        execute format('alter table public.agents disable trigger %I', old.tgname);
        raise warning 'trigger % on public.agents, which builds tables itself, is now disabled',
            old.tgname;
    end loop;

    alter table public.users alter column role set default 'agent';
    alter table public.agents alter column created_by drop not null;
    if not exists (select from pg_catalog.pg_attribute
                   where attrelid = 'public.whatsapp_configuration'::regclass
                     and attname = 'verify_token' and not attisdropped) then
        alter table public.whatsapp_configuration add column verify_token text;
    end if;

    if not exists (select from pg_catalog.pg_constraint
                   where conrelid = 'public.users'::regclass and contype = 'f'
                     and confrelid = 'auth.users'::regclass) then
        alter table public.users add constraint users_id_fkey
            foreign key (id) references auth.users (id) on delete cascade not valid;
        if exists (select from public.users u
                   where not exists (select from auth.users a where a.id = u.id)) then
            raise warning 'public.users has rows without a user in auth.users: they are kept';
        else
            alter table public.users validate constraint users_id_fkey;
        end if;
    end if;

    if not exists (select from pg_catalog.pg_constraint
                   where conrelid = 'public.agents'::regclass
                     and conname = 'agents_agent_prefix_check') then
        -- A check that an old row breaks would also refuse every later change of that row.
        if exists (select from public.agents where agent_prefix !~ '^[a-z][a-z0-9_]{1,19}$') then
            raise warning 'public.agents has prefixes against the rule: only new ones are checked';
        else
            alter table public.agents add constraint agents_agent_prefix_check
                check (agent_prefix ~ '^[a-z][a-z0-9_]{1,19}$');
        end if;
    end if;

    if not exists (select from pg_catalog.pg_index i join pg_catalog.pg_attribute a
                       on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
                   where i.indrelid = 'public.agents'::regclass and i.indisunique
                     and i.indnkeyatts = 1 and i.indpred is null and a.attname = 'user_id') then
        alter table public.agents add constraint agents_user_id_key unique (user_id);
    end if;
end $$;

-- The trigger-based schema's functions of these names, whatever their signatures. One that a
-- trigger runs stays: the trigger, disabled by now, depends on it, and nobody else can call it.
do $$
declare
    old record;
begin
    for old in
        select p.oid::regprocedure as signature from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace
          and p.prorettype <> 'trigger'::regtype
          and p.proname in (
              'create_agent', 'update_agent_details', 'delete_agent', 'agent_status',
              'create_whatsapp_config', 'get_whatsapp_config', 'update_whatsapp_config',
              'delete_whatsapp_config',
              'create_agent_tables', 'drop_agent_tables', 'create_agent_indexes'
          )
    loop
        execute format('drop routine %s', old.signature);
    end loop;
end $$;

-- The documented indexes on email, agent_prefix and user_id are those of the unique constraints.
create index if not exists users_role_idx on public.users (role);
create index if not exists agents_created_by_idx on public.agents (created_by);
create index if not exists whatsapp_configuration_is_active_idx
    on public.whatsapp_configuration (is_active);
create index if not exists whatsapp_configuration_user_id_is_active_idx
    on public.whatsapp_configuration (user_id, is_active);
