-- The base tables: users, agents, whatsapp_configuration.
--
-- On a database where the trigger-based schema made these tables they are kept and brought in line.

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
            if clock_timestamp() > deadline then
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

-- The documented indexes on email, agent_prefix and user_id are those of the unique constraints.
create index if not exists users_role_idx on public.users (role);
create index if not exists agents_created_by_idx on public.agents (created_by);
create index if not exists whatsapp_configuration_is_active_idx
    on public.whatsapp_configuration (is_active);
create index if not exists whatsapp_configuration_user_id_is_active_idx
    on public.whatsapp_configuration (user_id, is_active);

-- A definer, so that policies may ask without reading users themselves; a constant per query
-- where it is written as (select provisioning.is_admin()). In PL/pgSQL, which plans it once per session: policies ask
-- only where a row is found, so the time that the answer takes tells a stranger that there is one.
create function provisioning.is_admin() returns boolean
    language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
    return exists (select from public.users u where u.id = auth.uid() and u.role = 'admin');
end $$;

-- The check constraint says the same; this says it in words. Names of tables hang on the prefix
-- and on the id, so neither ever changes. Who created an agent may manage its row: an owner who could
-- write created_by would keep what an admin gives to somebody else, and a creator who could write user_id,
-- an admin once, would give himself the agent with its customers. A definer, to ask is_admin() for
-- everybody.
create function provisioning.guard_agent() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if tg_op = 'UPDATE' then
        if new.id is distinct from old.id then
            raise exception 'the id of agent "%" cannot be changed', old.agent_prefix
                using errcode = 'check_violation',
                      hint = 'Its tables carry the id. Delete the agent and create a new one.';
        elsif new.agent_prefix is distinct from old.agent_prefix then
            raise exception 'agent_prefix "%" cannot be changed', old.agent_prefix
                using errcode = 'check_violation',
                      hint = 'Its tables carry the prefix. Delete the agent and create a new one.';
        elsif new.created_by is distinct from old.created_by
              and auth.uid() is not null and not provisioning.is_admin()
              -- The foreign key's own "set null" comes after the user has gone.
              and (new.created_by is not null
                   or exists (select from public.users u where u.id = old.created_by)) then
            raise exception 'only an admin may change created_by'
                using errcode = 'insufficient_privilege';
        elsif new.user_id is distinct from old.user_id
              and auth.uid() is not null and not provisioning.is_admin()
              and (new.user_id is not null
                   or exists (select from public.users u where u.id = old.user_id)) then
            raise exception 'only an admin may give an agent to another user'
                using errcode = 'insufficient_privilege';
        end if;
    elsif new.agent_prefix !~ '^[a-z][a-z0-9_]{1,19}$' then
        raise exception 'agent_prefix "%" is not valid: it must be 2 to 20 characters of '
            'a-z, 0-9 and _, starting with a letter', new.agent_prefix
            using errcode = 'check_violation';
    end if;
    return new;
end $$;

create trigger guard_agent before insert or update on public.agents
    for each row execute function provisioning.guard_agent();

-- The same of id and created_at of all three tables, through the API. Not by privileges: clients send whole rows back.
create function provisioning.keep_identity() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if auth.uid() is not null then
        raise exception 'id and created_at of % cannot be changed', tg_table_name
            using errcode = 'insufficient_privilege';
    end if;
    return new;
end $$;

create trigger keep_identity before update on public.users for each row
    when (new.id is distinct from old.id or new.created_at is distinct from old.created_at)
    execute function provisioning.keep_identity();
create trigger keep_identity before update on public.agents for each row
    when (new.id is distinct from old.id or new.created_at is distinct from old.created_at)
    execute function provisioning.keep_identity();
create trigger keep_identity before update on public.whatsapp_configuration for each row
    when (new.id is distinct from old.id or new.created_at is distinct from old.created_at)
    execute function provisioning.keep_identity();

-- A name for a new user, which every user may read: never the phone number. The metadata is whatever the
-- user's browser sent.
create function provisioning.user_name(email text, metadata jsonb) returns text
    language sql immutable set search_path = pg_catalog, pg_temp as $$
    select left(n.name, 255)
    from (values
        (1, case when jsonb_typeof(metadata -> 'full_name') = 'string'
                 then metadata ->> 'full_name' end),
        (2, case when jsonb_typeof(metadata -> 'name') = 'string' then metadata ->> 'name' end),
        (3, split_part(email, '@', 1)),
        (4, 'New user')
    ) as given (rank, value),
    lateral (
        select btrim(regexp_replace(left(given.value, 1000), '[[:cntrl:]]', '', 'g')) as name
    ) n
    where n.name <> ''
    order by given.rank
    limit 1
$$;

-- Keeps one row of public.users in step with auth.users. Phone-only and anonymous users have no
-- e-mail address, and single sign-on may bring one that is taken: they get one that cannot exist.
create function provisioning.put_user(
    user_id uuid, new_name text, derived_name text, new_email text
) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    placeholder constant text := user_id || '@no-email.invalid';
begin
    for attempt in 1..2 loop
        begin
            insert into public.users as u (id, name, email, role)
            values (user_id, new_name, coalesce(nullif(btrim(new_email), ''), placeholder), 'agent')
            on conflict (id) do update set
                email = excluded.email,
                -- A name that somebody chose stays.
                name = case when u.name = derived_name then excluded.name else u.name end;
            return;
        exception when unique_violation then
            new_email := null;
        end;
    end loop;
end $$;

-- Nothing in here may keep anybody from signing up: every error ends as a warning in the log, and
-- a lock is not waited for. The role is never taken from metadata.
create function provisioning.sync_user() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
declare
    derived_name text;
begin
    if tg_op = 'UPDATE' then
        derived_name := provisioning.user_name(old.email, null);
    end if;
    perform provisioning.put_user(
        new.id,
        provisioning.user_name(new.email, new.raw_user_meta_data),
        derived_name,
        new.email
    );
    return null;
exception when others then
    raise warning 'user % of auth.users was not copied to public.users: SQLSTATE %',
        new.id, sqlstate;
    return null;
end $$;

-- Triggers fire in the order of their names: a project's own on_auth_user_created goes first.
create trigger sync_public_user_insert after insert on auth.users
    for each row execute function provisioning.sync_user();
create trigger sync_public_user_update after update on auth.users
    for each row when (old.email is distinct from new.email)
    execute function provisioning.sync_user();

-- Who signed up before us.
do $$
declare
    missing record;
begin
    for missing in
        select a.id, a.email, provisioning.user_name(a.email, a.raw_user_meta_data) as name
        from auth.users a
        where not exists (select from public.users u where u.id = a.id)
        order by a.created_at, a.id
    loop
        perform provisioning.put_user(missing.id, missing.name, null, missing.email);
    end loop;
end $$;

revoke all on function provisioning.is_admin() from public, anon, authenticated, service_role;
revoke all on function provisioning.guard_agent() from public, anon, authenticated, service_role;
revoke all on function provisioning.keep_identity() from public, anon, authenticated, service_role;
revoke all on function provisioning.user_name(text, jsonb)
    from public, anon, authenticated, service_role;
revoke all on function provisioning.put_user(uuid, text, text, text)
    from public, anon, authenticated, service_role;
revoke all on function provisioning.sync_user() from public, anon, authenticated, service_role;
grant execute on function provisioning.is_admin() to authenticated;   -- policies call it

alter table public.users enable row level security;
alter table public.agents enable row level security;
alter table public.whatsapp_configuration enable row level security;

-- Depending on its age a project grants everything or nothing on a new table, and TRUNCATE is not
-- stopped by row level security: start from nothing.
revoke all on public.users, public.agents, public.whatsapp_configuration
    from public, anon, authenticated, service_role;
revoke all on sequence public.agents_id_seq, public.whatsapp_configuration_id_seq
    from public, anon, authenticated, service_role;
grant select, update, delete on public.users, public.agents, public.whatsapp_configuration
    to authenticated;
grant select, insert, update, delete on public.users, public.agents, public.whatsapp_configuration
    to service_role;

-- All columns, also those that a project has added, but not what the table fills itself: a user who chose the id that
-- comes next would make somebody else's next INSERT fail. Only users.id is chosen: it is that of auth.users.
do $$
declare
    shared record;
begin
    for shared in
        select c.relname as name, string_agg(quote_ident(a.attname), ', ' order by a.attnum) as columns
        from pg_catalog.pg_class c
        join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        where c.oid in ('public.users'::regclass, 'public.agents'::regclass,
                        'public.whatsapp_configuration'::regclass)
          and a.attname <> 'created_at' and (a.attname <> 'id' or c.relname = 'users')
        group by c.relname
    loop
        execute format('grant insert (%s) on public.%I to authenticated', shared.columns, shared.name);
    end loop;
end $$;
grant usage on sequence public.agents_id_seq, public.whatsapp_configuration_id_seq
    to authenticated, service_role;

-- users: everybody signed in reads; admins do the rest.
create policy users_select on public.users for select to authenticated
    using ((select auth.uid()) is not null);
create policy users_insert on public.users for insert to authenticated
    with check ((select provisioning.is_admin()));
create policy users_update on public.users for update to authenticated
    using ((select provisioning.is_admin())) with check ((select provisioning.is_admin()));
create policy users_delete on public.users for delete to authenticated
    using ((select provisioning.is_admin()));

-- agents: everybody signed in reads; creating one builds tables, which is an admin's to decide;
-- the owner, the creator and admins change and delete.
create policy agents_select on public.agents for select to authenticated
    using ((select auth.uid()) is not null);
create policy agents_insert on public.agents for insert to authenticated
    with check ((select provisioning.is_admin()));
create policy agents_update on public.agents for update to authenticated
    using (
        user_id = (select auth.uid()) or created_by = (select auth.uid())
        or (select provisioning.is_admin())
    )
    with check (
        user_id = (select auth.uid()) or created_by = (select auth.uid())
        or (select provisioning.is_admin())
    );
create policy agents_delete on public.agents for delete to authenticated
    using (
        user_id = (select auth.uid()) or created_by = (select auth.uid())
        or (select provisioning.is_admin())
    );

-- whatsapp_configuration holds API keys: its owner and admins only.
create policy whatsapp_configuration_select on public.whatsapp_configuration
    for select to authenticated
    using (user_id = (select auth.uid()) or (select provisioning.is_admin()));
create policy whatsapp_configuration_insert on public.whatsapp_configuration
    for insert to authenticated
    with check (user_id = (select auth.uid()) or (select provisioning.is_admin()));
create policy whatsapp_configuration_update on public.whatsapp_configuration
    for update to authenticated
    using (user_id = (select auth.uid()) or (select provisioning.is_admin()))
    with check (user_id = (select auth.uid()) or (select provisioning.is_admin()));
create policy whatsapp_configuration_delete on public.whatsapp_configuration
    for delete to authenticated
    using (user_id = (select auth.uid()) or (select provisioning.is_admin()));
