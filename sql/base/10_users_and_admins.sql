-- Who is an admin, what may change in users and agents, and how sign-ups come into public.users.

-- A definer, so that policies may ask without reading users themselves; a constant per query
-- where it is written as (select provisioning.is_admin()). In PL/pgSQL, which plans it once per session: policies ask
-- only where a row is found, so the time that the answer takes tells a stranger that there is one.
create or replace function provisioning.is_admin() returns boolean
    language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
    return exists (select from public.users u where u.id = auth.uid() and u.role = 'admin');
end $$;

-- A prefix for an agent that is given none: the default of agents.agent_prefix. Eight of the random bytes of a version 4 UUID.
create or replace function provisioning.draw_prefix() returns text
    language sql volatile set search_path = pg_catalog, pg_temp as $$
    select 'agt_' || string_agg(
        substr('abcdefghijklmnopqrstuvwxyz0123456789', get_byte(drawn.bytes, i) % 36 + 1, 1), '')
    from (select uuid_send(gen_random_uuid()) as bytes) drawn, unnest(array[0, 1, 2, 3, 4, 5, 9, 10]) i
$$;

-- Fills what an INSERT leaves out: a prefix; the creator, who is the signed-in user; the business.
--
-- The check constraint says the same; this says it in words. Names of tables hang on the prefix
-- and on the id, so neither ever changes. Who created an agent may manage its row: an owner who could
-- write created_by would keep what an admin gives to somebody else, and a creator who could write user_id,
-- an admin once, would give himself the agent with its customers. A definer, to ask is_admin() for
-- everybody.
create or replace function provisioning.enforce_agent_rules() returns trigger
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
        elsif new.business_id is distinct from old.business_id
              and auth.uid() is not null and not provisioning.is_admin()
              and not provisioning.my_businesses('owner') @> array[old.business_id, new.business_id] then
            raise exception 'only an owner of both businesses may move an agent'
                using errcode = 'insufficient_privilege';
        end if;
        return new;
    end if;
    new.agent_prefix := coalesce(new.agent_prefix, provisioning.draw_prefix());
    new.created_by := coalesce(new.created_by, auth.uid());
    if new.agent_prefix !~ '^[a-z][a-z0-9_]{1,19}$' then
        raise exception 'agent_prefix "%" is not valid: it must be 2 to 20 characters of '
            'a-z, 0-9 and _, starting with a letter', new.agent_prefix
            using errcode = 'check_violation';
    end if;
    if exists (
        select from provisioning.moves m
        where m.direction = 'in' and m.ended_at is null
          and (m.agent_prefix = new.agent_prefix or m.agent_id = new.id)
          and m.id::text is distinct from current_setting('provisioning.move', true))
    then
        raise exception 'agent "%" is being moved here from another database', new.agent_prefix
            using errcode = 'unique_violation', constraint = 'moves_open_key',
                  hint = 'Its prefix and its id are taken. Choose another prefix, or wait for the end of the move.';
    end if;
    if new.business_id is null then
        new.business_id := provisioning.business_of_creator(new.created_by);
    end if;
    return new;
end $$;

-- The same of id and created_at of all shared tables, through the API. Not by privileges: clients send whole rows back.
create or replace function provisioning.keep_identity() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if auth.uid() is not null then
        raise exception 'id and created_at of % cannot be changed', tg_table_name
            using errcode = 'insufficient_privilege';
    end if;
    return new;
end $$;

-- A name for a new user, which every user may read: never the phone number. The metadata is whatever the
-- user's browser sent.
create or replace function provisioning.user_name(email text, metadata jsonb) returns text
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
create or replace function provisioning.upsert_public_user(
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
create or replace function provisioning.sync_user() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
declare
    derived_name text;
begin
    if tg_op = 'UPDATE' then
        derived_name := provisioning.user_name(old.email, null);
    end if;
    perform provisioning.upsert_public_user(
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

-- Copies the users of auth.users that public.users lacks: who signed up before the trigger was there, or while it was off.
-- Returns how many. `migrate` calls it after a migration.
create or replace function provisioning.copy_sign_ups() returns bigint
    language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    missing record;
    copied  bigint := 0;
begin
    for missing in
        select a.id, a.email, provisioning.user_name(a.email, a.raw_user_meta_data) as name
        from auth.users a
        where not exists (select from public.users u where u.id = a.id)
        order by a.created_at, a.id
    loop
        perform provisioning.upsert_public_user(missing.id, missing.name, null, missing.email);
        copied := copied + 1;
    end loop;
    return copied;
end $$;
