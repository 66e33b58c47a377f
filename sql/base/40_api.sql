-- The documented functions, callable through the API (supabase-js: rpc) and from SQL.
--
-- Those that row level security can judge are plain functions of schema public and run with the
-- caller's rights. The others need the job queue, which is out of the API's reach: their bodies
-- are definers in schema provisioning with the check in the body, behind a wrapper that runs with
-- the caller's rights. The wrappers' bodies are parsed now (begin atomic), so no caller needs
-- USAGE on schema provisioning.
--
-- The definers have row_security = off: where row security would hide a row of agents from them, which it
-- does when it is forced, they refuse. To take a hidden agent for a deleted one would delete it.
--
-- "Backend" below is a caller without a signed-in user who holds the rights of service_role or of
-- this schema's owner: service_role itself, postgres, a superuser.

-- In a definer current_user is the schema's owner; the setting "role" still says who called.
create or replace function provisioning.is_backend() returns boolean
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select auth.uid() is null
       and (pg_has_role(caller.name, 'service_role', 'usage')
            or pg_has_role(caller.name, current_user, 'usage'))
    from (select coalesce(nullif(current_setting('role'), 'none'), session_user) as name) caller
$$;

-- Asks the worker for something: 'queued', 'waiting' (it was asked already) or 'replayed' (it had
-- failed for good, and gets another try in its old place).
create or replace function provisioning.enqueue_or_replay(
    kind text, agent_id bigint, agent_prefix text, user_id uuid, reason text
) returns text
    language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
#variable_conflict use_column
declare
    requester constant text := coalesce(auth.uid()::text, nullif(current_setting('role'), 'none'), session_user);
begin
    -- One that reconcile had found is asked for from now on; that approves nothing.
    update provisioning.jobs j set unreported = false
    where j.agent_id = enqueue_or_replay.agent_id and enqueue_or_replay.kind = 'deprovision'
      and j.kind = 'deprovision' and j.state = 'paused' and j.unreported;
    -- Without a lock: the worker may hold the row for as long as the work takes. A paused deletion
    -- stays as it is, with the record of who asked first: to ask again does not approve it.
    if exists (select from provisioning.jobs j
               where j.agent_id = enqueue_or_replay.agent_id and j.kind = enqueue_or_replay.kind
                 and j.state in ('pending', 'paused')) then
        return 'waiting';
    end if;

    update provisioning.jobs j
    set state = 'pending', attempts = 0, run_at = now(), due_at = now(), finished_at = null,
        replayed_by = requester,
        replayed_at = now(), replay_reason = enqueue_or_replay.reason
    where j.state = 'dead'
      and j.id = (select d.id from provisioning.jobs d
                  where d.agent_id = enqueue_or_replay.agent_id and d.kind = enqueue_or_replay.kind
                    and d.state = 'dead'
                  order by d.id limit 1);
    if found then
        perform provisioning.notify('agent_provisioning');
        return 'replayed';
    end if;

    -- A provision says nothing of a new row: only the INSERT's own does.
    insert into provisioning.jobs (kind, agent_id, agent_prefix, user_id, unreported, requested_by)
    values (
        enqueue_or_replay.kind, enqueue_or_replay.agent_id, enqueue_or_replay.agent_prefix,
        enqueue_or_replay.user_id, enqueue_or_replay.kind = 'provision', requester)
    on conflict (agent_id, kind) where state = 'pending' do nothing;
    if found then
        perform provisioning.notify('agent_provisioning');
        return 'queued';
    end if;
    return 'waiting';
exception when unique_violation then    -- somebody else asked at the same moment
    return 'waiting';
end $$;

-- What a caller is told of an error nobody foresaw: never the server's own words, which may quote
-- rows. Those go to the server's log.
create or replace function provisioning.user_error_message(during text, state text, details text) returns text
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise log 'agent-provisioner: % failed: % (SQLSTATE %)', during, details, state;
    return case
        when state like '40%' or state in ('55P03', '53300') then
            'The database is busy with the same rows; nothing was changed. Please try again.'
        else format('Nothing was changed: unexpected error %s. The server''s log says more.', state)
    end;
end $$;

------------------------------------------------------------------------------------------------
-- Agents
------------------------------------------------------------------------------------------------

-- Admins and the backend only, by the policy on agents. Without a prefix one is drawn. A trigger finds the business where
-- none is given.
create or replace function public.create_agent(
    user_id uuid, agent_prefix varchar, created_by uuid, business_id uuid
) returns table (agent jsonb, success boolean, message text)
    language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    signed_in constant uuid := auth.uid();
    creator   constant uuid := coalesce(signed_in, create_agent.created_by);
    prefix    varchar;
    violated  text;
begin
    success := false;
    if signed_in <> create_agent.created_by then
        message := 'created_by must be the signed-in user';
    elsif creator is null then
        message := 'created_by is required';
    elsif create_agent.user_id is null then
        message := 'user_id is required';
    elsif create_agent.agent_prefix !~ '^[a-z][a-z0-9_]{1,19}$' then
        message := format('agent_prefix "%s" is not valid: it must be 2 to 20 characters of '
            'a-z, 0-9 and _, starting with a letter', left(create_agent.agent_prefix, 60));
    end if;
    if message is not null then
        return next;
        return;
    end if;

    for attempt in 1..5 loop
        begin
            prefix := create_agent.agent_prefix;
            if prefix is null then
                -- Eight of the random bytes of a version 4 UUID.
                select 'agt_' || string_agg(substr('abcdefghijklmnopqrstuvwxyz0123456789',
                                                   get_byte(drawn.bytes, i) % 36 + 1, 1), '')
                into prefix
                from (select uuid_send(gen_random_uuid()) as bytes) drawn,
                     unnest(array[0, 1, 2, 3, 4, 5, 9, 10]) i;
            end if;
            insert into public.agents as a (agent_prefix, user_id, created_by, business_id)
            values (prefix, create_agent.user_id, creator, create_agent.business_id)
            returning to_jsonb(a) into agent;
            success := true;
            message := format('Agent %s is created; its tables are being built.', prefix);
            exit;
        exception
            when unique_violation then
                get stacked diagnostics violated = constraint_name;
                if violated = 'agents_agent_prefix_key' then
                    message := format('agent_prefix "%s" is taken', prefix);
                    exit when create_agent.agent_prefix is not null;
                elsif violated = 'agents_user_id_key' then
                    message := format('user %s has an agent already', create_agent.user_id);
                    exit;
                else
                    raise;
                end if;
            when foreign_key_violation then
                get stacked diagnostics violated = constraint_name;
                message := case
                    when violated = 'agents_business_id_fkey' then format('there is no business %s', create_agent.business_id)
                    else format('there is no user %s', case
                        when exists (select from public.users u where u.id = create_agent.user_id)
                        then creator else create_agent.user_id end)
                end;
                exit;
            when not_null_violation then
                message := 'business_id is required: the creator owns or administers none or several';
                exit;
            when insufficient_privilege then
                message := 'only an admin may create an agent';
                exit;
        end;
    end loop;
    return next;
-- Not provisioning.user_error_message: who calls this has no right to that schema.
exception
    when lock_not_available or deadlock_detected or serialization_failure then
        agent := null;
        success := false;
        message := 'The database is busy with the same rows; nothing was changed. '
            'Please try again.';
        return next;
    when others then
        agent := null;
        success := false;
        message := format('Nothing was changed: unexpected error %s.', sqlstate);
        raise log 'agent-provisioner: create_agent failed: % (SQLSTATE %)', sqlerrm, sqlstate;
        return next;
end $$;

-- Whoever names no business calls it as before there were any.
create or replace function public.create_agent(user_id uuid, agent_prefix varchar, created_by uuid)
    returns table (agent jsonb, success boolean, message text)
    language sql set search_path = pg_catalog, pg_temp as $$
    select r.agent, r.success, r.message from public.create_agent(user_id, agent_prefix, created_by, null) r
$$;

-- Changes what differs and ignores what does not, so that a client may send whole rows back.
-- Owner, creator and admins; roles, created_by and user_id are an admin's. The backend may act for a user
-- by naming it in current_user_id, and is then bound by that user's rights.
create or replace function provisioning.update_agent_details(
    agent_id bigint, user_updates jsonb, agent_updates jsonb, current_user_id uuid
) returns table (agent jsonb, success boolean, message text)
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
#variable_conflict use_column
declare
    signed_in  constant uuid := auth.uid();
    actor      constant uuid := coalesce(signed_in, update_agent_details.current_user_id);
    old_agent  public.agents;
    old_user   public.users;
    for_agent  jsonb;
    for_user   jsonb;
    odd        text;
    privileged boolean;
begin
    success := false;
    if signed_in is null and not provisioning.is_backend() then
        message := 'nobody is signed in';
    elsif signed_in <> update_agent_details.current_user_id then
        message := 'current_user_id must be the signed-in user';
    elsif jsonb_typeof(user_updates) not in ('object', 'null')
       or jsonb_typeof(agent_updates) not in ('object', 'null') then
        message := 'user_updates and agent_updates must be JSON objects';
    end if;
    if message is not null then
        return next;
        return;
    end if;

    select a.* into old_agent from public.agents a where a.id = update_agent_details.agent_id;
    if not found then
        message := format('there is no agent %s', update_agent_details.agent_id);
        return next;
        return;
    end if;
    select u.* into old_user from public.users u where u.id = old_agent.user_id;

    privileged := actor is null
        or exists (select from public.users u where u.id = actor and u.role = 'admin');
    if not privileged
       and actor is distinct from old_agent.user_id and actor is distinct from old_agent.created_by
    then
        message := 'only the agent''s owner, its creator and admins may change it';
        return next;
        return;
    end if;

    select coalesce(jsonb_object_agg(e.key, e.value), '{}') into for_agent
    from jsonb_each(case jsonb_typeof(agent_updates) when 'object' then agent_updates end) e
    where e.value is distinct from to_jsonb(old_agent) -> e.key;
    select coalesce(jsonb_object_agg(e.key, e.value), '{}') into for_user
    from jsonb_each(case jsonb_typeof(user_updates) when 'object' then user_updates end) e
    where e.value is distinct from to_jsonb(old_user) -> e.key;

    select min(k) into odd from jsonb_object_keys(for_agent) k
    where k not in ('agent_prefix', 'user_id', 'created_by');
    if odd is null then
        select min(k) into odd from jsonb_object_keys(for_user) k
        where k not in ('name', 'email', 'role');
    end if;

    if odd is not null then
        message := format('"%s" cannot be changed', left(odd, 60));
    elsif for_agent ? 'agent_prefix' then
        message := 'agent_prefix cannot be changed: the agent''s tables carry it';
    elsif for_agent ? 'created_by' and not privileged then
        message := 'only an admin may change created_by';
    elsif for_agent ? 'user_id' and not privileged then
        message := 'only an admin may give an agent to another user';
    elsif for_user <> '{}' and old_user.id is null then
        message := 'the agent has no user to change';
    elsif for_user ? 'email' then
        message := 'e-mail addresses are changed through Supabase Auth; public.users follows';
    elsif for_user ? 'role' and not privileged then
        message := 'only an admin may change a role';
    elsif for_user ? 'role' and coalesce(for_user ->> 'role', '') not in ('admin', 'agent') then
        message := 'role must be admin or agent';
    elsif for_user ? 'name' and (
              jsonb_typeof(for_user -> 'name') <> 'string'
              or length(btrim(for_user ->> 'name')) not between 1 and 255) then
        message := 'name must be a text of 1 to 255 characters';
    end if;
    if message is not null then
        return next;
        return;
    end if;

    if for_user <> '{}' then
        update public.users u
        set name = coalesce(btrim(for_user ->> 'name'), u.name),
            role = coalesce((for_user ->> 'role')::public.role, u.role)
        where u.id = old_user.id;
    end if;
    if for_agent <> '{}' then
        update public.agents a
        set user_id = case when for_agent ? 'user_id'
                           then (for_agent ->> 'user_id')::uuid else a.user_id end,
            created_by = case when for_agent ? 'created_by'
                              then (for_agent ->> 'created_by')::uuid else a.created_by end
        where a.id = old_agent.id;
    end if;

    select to_jsonb(a) || jsonb_build_object('user', to_jsonb(u)) into agent
    from public.agents a left join public.users u on u.id = a.user_id
    where a.id = old_agent.id;
    success := true;
    message := case when for_user = '{}' and for_agent = '{}'
                    then 'Nothing to change.' else 'The agent is updated.' end;
    return next;
exception
    when unique_violation then
        success := false;
        message := 'that user has an agent already';
        return next;
    when foreign_key_violation then
        success := false;
        message := 'there is no such user';
        return next;
    when invalid_text_representation then
        success := false;
        message := 'user_id and created_by must be UUIDs';
        return next;
    when others then
        success := false;
        message := provisioning.user_error_message('update_agent_details', sqlstate, sqlerrm);
        return next;
end $$;

create or replace function public.update_agent_details(
    agent_id bigint,
    user_updates jsonb default null,
    agent_updates jsonb default null,
    current_user_id uuid default null
) returns table (agent jsonb, success boolean, message text)
    language sql set search_path = pg_catalog, pg_temp
begin atomic
    select r.agent, r.success, r.message
    from provisioning.update_agent_details(
        agent_id, user_updates, agent_updates, current_user_id
    ) r;
end;

-- Asks for the deletion: the worker drops the tables, deletes the row and switches the WhatsApp
-- configuration off in one transaction, in milliseconds. Owner, creator, owners and admins of the business, admins and the
-- backend.
create or replace function provisioning.delete_agent(agent_id bigint)
    returns table (success boolean, message text)
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
#variable_conflict use_column
declare
    signed_in constant uuid := auth.uid();
    found_agent public.agents;
    answer text;
begin
    success := false;
    select a.* into found_agent from public.agents a where a.id = delete_agent.agent_id;
    if found_agent.id is null then
        message := format('there is no agent %s', delete_agent.agent_id);
    elsif coalesce(signed_in = found_agent.created_by, false)
          or provisioning.owned_agent(found_agent.id) is not null or provisioning.is_backend() then
        answer := provisioning.enqueue_or_replay('deprovision', found_agent.id, found_agent.agent_prefix,
                                       found_agent.user_id, 'delete_agent');
        success := true;
        message := case
            when answer = 'waiting' and exists (
                select from provisioning.jobs j
                where j.agent_id = found_agent.id and j.kind = 'deprovision' and j.state = 'paused')
            then format('The deletion of agent %s waits for an operator''s approval.', found_agent.agent_prefix)
            when answer = 'waiting' then format('The deletion of agent %s is already under way.',
                                       found_agent.agent_prefix)
            else format('Agent %s and its tables are being deleted.', found_agent.agent_prefix)
        end;
    else
        message := 'only the agent''s owner, its creator, owners and admins of its business, and admins may delete it';
    end if;
    return next;
exception when others then
    success := false;
    message := provisioning.user_error_message('delete_agent', sqlstate, sqlerrm);
    return next;
end $$;

create or replace function public.delete_agent(agent_id bigint)
    returns table (success boolean, message text)
    language sql set search_path = pg_catalog, pg_temp
begin atomic
    select r.success, r.message from provisioning.delete_agent(agent_id) r;
end;

-- How far an agent's tables are: docs/api.md has the states.
-- alive: its row is in public.agents; built: it is registered
-- deletion, build: the state of its last job of that kind; null: there is none
-- held: another job of the prefix, which is dead or paused, comes before the build
-- no_worker: nobody runs that would take the deletion or the build
create or replace function provisioning.agent_state(
    alive boolean, built boolean, deletion text, build text, held boolean, no_worker boolean
) returns text
    language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case
        when deletion = 'pending' and no_worker then 'waiting'
        when deletion = 'pending' then 'deleting'
        when deletion = 'paused' then 'paused'
        when deletion = 'dead' then 'failed'
        when not alive and not built then 'gone'
        when not alive and deletion = 'cancelled' then 'kept'
        when not alive then 'orphaned'
        when built then 'ready'
        when build = 'dead' then 'failed'
        when build = 'cancelled' then 'cancelled'
        when held then 'blocked'
        when no_worker then 'waiting'
        else 'pending'
    end
$$;

-- How far an agent's tables are, for the owner, members of its business, admins and the backend: docs/api.md has the states. The message may be shown to anybody of these: no server error is in it. It tells of tables that
-- somebody renamed or moved.
create or replace function provisioning.agent_status(agent_id bigint)
    returns table (state text, template_version integer, message text)
    language plpgsql stable security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
#variable_conflict use_column
declare
    signed_in constant uuid := auth.uid();
    alive    boolean;
    owner    uuid;
    version  integer;
    deletion provisioning.jobs;
    build    provisioning.jobs;
    change   provisioning.jobs;
    held_by  bigint;
    no_worker boolean;
    displaced text;
begin
    select true, a.user_id into alive, owner
    from public.agents a where a.id = agent_status.agent_id;
    alive := coalesce(alive, false);
    select j.* into deletion from provisioning.jobs j
    where j.agent_id = agent_status.agent_id and j.kind = 'deprovision'
    order by j.id desc limit 1;

    if not (coalesce(signed_in = case when alive then owner else deletion.user_id end, false)
            or provisioning.staffed_agent(agent_status.agent_id) is not null or provisioning.is_backend()) then
        raise exception 'only the agent''s owner, members of its business and admins may see its state'
            using errcode = 'insufficient_privilege';
    end if;

    select b.template_version into version from provisioning.agents b
    where b.agent_id = agent_status.agent_id;
    select j.* into build from provisioning.jobs j
    where j.agent_id = agent_status.agent_id and j.kind = 'provision'
    order by j.id desc limit 1;
    select j.* into change from provisioning.jobs j
    where j.agent_id = agent_status.agent_id and j.kind in ('upgrade', 'repair', 'convert')
      and j.state in ('pending', 'dead')
    order by j.state = 'dead' desc, j.id desc limit 1;

    select min(w.earlier) into held_by from provisioning.job_waits w
    where w.job = build.id and w.earlier_state in ('dead', 'paused');
    no_worker := provisioning.no_worker(case deletion.state when 'pending' then deletion.due_at else build.due_at end);

    template_version := version;
    state := provisioning.agent_state(
        alive, version is not null, deletion.state, build.state, held_by is not null, no_worker);
    message := case state
        when 'gone' then 'There is no such agent.'
        when 'kept' then format('The agent is gone; its tables are kept, since job %s was cancelled.', deletion.id)
        when 'orphaned' then 'The agent is gone, and nobody has asked for the deletion of its tables yet.'
        when 'paused' then format('The deletion waits for an operator''s approval, as job %s.', deletion.id)
        when 'deleting' then case
            when deletion.attempts = 0 then 'The agent is being deleted.'
            else format('Deleting the agent has failed %s times; it is tried again.', deletion.attempts) end
        when 'failed' then case
            when deletion.state = 'dead' then format(
                'Deleting the agent failed; an operator has to look at job %s.', deletion.id)
            else format('Building the tables failed; an operator has to look at job %s.', build.id) end
        when 'cancelled' then format('An operator cancelled the building of the tables, which was job %s.', build.id)
        when 'blocked' then format('The tables are not built yet: an operator has to look at job %s first.', held_by)
        when 'waiting' then case
            when deletion.state = 'pending' then 'The agent is to be deleted, but no worker is running.'
            else 'The tables are to be built, but no worker is running.' end
        when 'ready' then case
            when change.state = 'dead' then format(
                'The tables are ready. Their last %s failed; an operator has to look at job %s.',
                case change.kind when 'convert' then 'conversion' else change.kind end, change.id)
            when change.state = 'pending' then format(
                'The tables are ready. Their %s is under way.',
                case change.kind when 'convert' then 'conversion' else change.kind end)
            else 'The tables are ready.' end
        else case
            when build.state is distinct from 'pending' then 'Nobody has asked for the tables yet.'
            when build.attempts = 0 and isfinite(build.due_at) and build.due_at < now() - interval '1 minute' then format(
                'The tables have been waiting to be built for %s minutes.',
                floor(extract(epoch from now() - build.due_at) / 60))
            when build.attempts = 0 then 'The tables are being built.'
            else format('Building the tables has failed %s times; it is tried again.', build.attempts) end
    end;
    select string_agg(format(' The table %s was %s.', d.table_name, d.displacement), '' order by d.table_name) into displaced
    from provisioning.displaced_tables d where d.agent_id = agent_status.agent_id;
    message := message || coalesce(displaced, '');
    return next;
end $$;

create or replace function public.agent_status(agent_id bigint)
    returns table (state text, template_version integer, message text)
    language sql stable set search_path = pg_catalog, pg_temp
begin atomic
    select r.state, r.template_version, r.message from provisioning.agent_status(agent_id) r;
end;

------------------------------------------------------------------------------------------------
-- Kept for old clients, who built and dropped tables by hand: admins and the backend only. The
-- worker does these things by itself.
------------------------------------------------------------------------------------------------

create or replace function provisioning.create_agent_tables(prefix text, agent_id bigint)
    returns table (success boolean, message text)
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
#variable_conflict use_column
declare
    found_agent public.agents;
begin
    success := false;
    if not (provisioning.is_admin() or provisioning.is_backend()) then
        message := 'only an admin may build an agent''s tables';
        return next;
        return;
    end if;
    select a.* into found_agent from public.agents a
    where a.id = create_agent_tables.agent_id and a.agent_prefix = create_agent_tables.prefix;
    if found_agent.id is null then
        message := format('there is no agent %s with the prefix "%s"',
            create_agent_tables.agent_id, left(create_agent_tables.prefix, 60));
    elsif exists (select from provisioning.agents b where b.agent_id = found_agent.id) then
        success := true;
        message := format('The tables of %s are there already.', found_agent.agent_prefix);
    else
        perform provisioning.enqueue_or_replay('provision', found_agent.id, found_agent.agent_prefix,
                                     found_agent.user_id, 'create_agent_tables');
        success := true;
        message := format('The tables of %s are being built.', found_agent.agent_prefix);
    end if;
    return next;
exception when others then
    success := false;
    message := provisioning.user_error_message('create_agent_tables', sqlstate, sqlerrm);
    return next;
end $$;

create or replace function public.create_agent_tables(prefix text, agent_id bigint)
    returns table (success boolean, message text)
    language sql set search_path = pg_catalog, pg_temp
begin atomic
    select r.success, r.message from provisioning.create_agent_tables(prefix, agent_id) r;
end;

-- An agent's tables go with the agent and not before: this neither deletes an agent nor leaves
-- one without tables. It clears up what is registered for a prefix whose agent is gone.
create or replace function provisioning.drop_agent_tables(prefix text)
    returns table (success boolean, message text)
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
#variable_conflict use_column
declare
    alive bigint;
    built provisioning.agents;
begin
    success := false;
    if not (provisioning.is_admin() or provisioning.is_backend()) then
        message := 'only an admin may drop an agent''s tables';
        return next;
        return;
    end if;
    select a.id into alive from public.agents a where a.agent_prefix = drop_agent_tables.prefix;
    select b.* into built from provisioning.agents b
    where b.agent_prefix = drop_agent_tables.prefix;
    if alive is not null then
        message := format('the tables of %s go with the agent: call delete_agent(%s)',
            drop_agent_tables.prefix, alive);
    elsif built.agent_id is null then
        success := true;
        message := format('No tables are registered for "%s".',
            left(drop_agent_tables.prefix, 60));
    else
        perform provisioning.enqueue_or_replay('deprovision', built.agent_id, built.agent_prefix,
                                     built.user_id, 'drop_agent_tables');
        success := true;
        message := format('The tables of %s are being dropped.', built.agent_prefix);
    end if;
    return next;
exception when others then
    success := false;
    message := provisioning.user_error_message('drop_agent_tables', sqlstate, sqlerrm);
    return next;
end $$;

create or replace function public.drop_agent_tables(prefix text)
    returns table (success boolean, message text)
    language sql set search_path = pg_catalog, pg_temp
begin atomic
    select r.success, r.message from provisioning.drop_agent_tables(prefix) r;
end;

create or replace function provisioning.create_agent_indexes(prefix text)
    returns table (success boolean, message text)
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
#variable_conflict use_column
declare
    built provisioning.agents;
begin
    success := false;
    if not (provisioning.is_admin() or provisioning.is_backend()) then
        message := 'only an admin may repair an agent''s tables';
        return next;
        return;
    end if;
    select b.* into built from provisioning.agents b
    where b.agent_prefix = create_agent_indexes.prefix;
    if built.agent_id is not null then
        perform provisioning.enqueue_or_replay('repair', built.agent_id, built.agent_prefix,
                                     built.user_id, 'create_agent_indexes');
        success := true;
        message := format('The indexes of %s are being checked and completed.',
            built.agent_prefix);
    elsif exists (select from public.agents a
                  where a.agent_prefix = create_agent_indexes.prefix) then
        message := format('the tables of %s are not built yet; their indexes come with them',
            create_agent_indexes.prefix);
    else
        message := format('there is no agent with the prefix "%s"',
            left(create_agent_indexes.prefix, 60));
    end if;
    return next;
exception when others then
    success := false;
    message := provisioning.user_error_message('create_agent_indexes', sqlstate, sqlerrm);
    return next;
end $$;

create or replace function public.create_agent_indexes(prefix text)
    returns table (success boolean, message text)
    language sql set search_path = pg_catalog, pg_temp
begin atomic
    select r.success, r.message from provisioning.create_agent_indexes(prefix) r;
end;

------------------------------------------------------------------------------------------------
-- WhatsApp configuration: all with the caller's rights, so the policies decide.
------------------------------------------------------------------------------------------------

-- One row per user: a second call changes it and switches it on again. What is left out stays.
create or replace function public.create_whatsapp_config(
    user_id uuid,
    whatsapp_number varchar,
    webhook_url text,
    api_key text default null,
    business_account_id varchar default null,
    phone_number_id varchar default null
) returns table (config jsonb, success boolean, message text)
    language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    success := false;
    if create_whatsapp_config.user_id is null then
        message := 'user_id is required';
    elsif coalesce(btrim(create_whatsapp_config.whatsapp_number), '') = '' then
        message := 'whatsapp_number is required';
    elsif coalesce(btrim(create_whatsapp_config.webhook_url), '') = '' then
        message := 'webhook_url is required';
    else
        insert into public.whatsapp_configuration as c (
            user_id, whatsapp_number, webhook_url, api_key, business_account_id, phone_number_id
        ) values (
            create_whatsapp_config.user_id, create_whatsapp_config.whatsapp_number,
            create_whatsapp_config.webhook_url, create_whatsapp_config.api_key,
            create_whatsapp_config.business_account_id, create_whatsapp_config.phone_number_id
        )
        on conflict (user_id) do update set
            whatsapp_number = excluded.whatsapp_number,
            webhook_url = excluded.webhook_url,
            api_key = coalesce(excluded.api_key, c.api_key),
            business_account_id = coalesce(excluded.business_account_id, c.business_account_id),
            phone_number_id = coalesce(excluded.phone_number_id, c.phone_number_id),
            is_active = true
        returning to_jsonb(c) into config;
        success := true;
        message := 'The WhatsApp configuration is saved.';
    end if;
    return next;
exception
    when insufficient_privilege then
        message := 'only the user and admins may change this WhatsApp configuration';
        return next;
    when foreign_key_violation then
        message := format('there is no user %s', create_whatsapp_config.user_id);
        return next;
    when string_data_right_truncation then
        message := 'whatsapp_number holds 20 characters, the two ids 100';
        return next;
    when lock_not_available or deadlock_detected or serialization_failure then
        success := false;
        message := 'The database is busy with the same rows; nothing was changed. '
            'Please try again.';
        return next;
    when others then
        message := format('Nothing was changed: unexpected error %s.', sqlstate);
        raise log 'agent-provisioner: create_whatsapp_config failed: % (SQLSTATE %)',
            sqlerrm, sqlstate;
        return next;
end $$;

-- The active configuration. One that is not there and one that is not yours look the same.
create or replace function public.get_whatsapp_config(user_id uuid)
    returns table (config jsonb, success boolean, message text)
    language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    select to_jsonb(c) into config from public.whatsapp_configuration c
    where c.user_id = get_whatsapp_config.user_id and c.is_active;
    success := config is not null;
    message := case when success then 'The active WhatsApp configuration.'
                    else 'there is no active WhatsApp configuration' end;
    return next;
end $$;

-- Changes the fields that are given. A client that calls by position writes the columns that it always did.
create or replace function public.update_whatsapp_config(
    user_id uuid,
    whatsapp_number varchar default null,
    webhook_url text default null,
    api_key text default null,
    business_account_id varchar default null,
    phone_number_id varchar default null,
    is_active boolean default null,
    verify_token text default null
) returns table (config jsonb, success boolean, message text)
    language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    update public.whatsapp_configuration c
    set whatsapp_number = coalesce(update_whatsapp_config.whatsapp_number, c.whatsapp_number),
        webhook_url = coalesce(update_whatsapp_config.webhook_url, c.webhook_url),
        api_key = coalesce(update_whatsapp_config.api_key, c.api_key),
        business_account_id = coalesce(update_whatsapp_config.business_account_id,
                                       c.business_account_id),
        phone_number_id = coalesce(update_whatsapp_config.phone_number_id, c.phone_number_id),
        is_active = coalesce(update_whatsapp_config.is_active, c.is_active),
        verify_token = coalesce(update_whatsapp_config.verify_token, c.verify_token)
    where c.user_id = update_whatsapp_config.user_id
    returning to_jsonb(c) into config;
    success := config is not null;
    message := case when success then 'The WhatsApp configuration is updated.'
                    else 'there is no WhatsApp configuration to change' end;
    return next;
exception
    when string_data_right_truncation then
        success := false;
        message := 'whatsapp_number holds 20 characters, the two ids 100';
        return next;
    when lock_not_available or deadlock_detected or serialization_failure then
        success := false;
        message := 'The database is busy with the same rows; nothing was changed. '
            'Please try again.';
        return next;
    when others then
        success := false;
        message := format('Nothing was changed: unexpected error %s.', sqlstate);
        raise log 'agent-provisioner: update_whatsapp_config failed: % (SQLSTATE %)',
            sqlerrm, sqlstate;
        return next;
end $$;

-- Switches the configuration off; the row stays.
create or replace function public.delete_whatsapp_config(user_id uuid)
    returns table (success boolean, message text)
    language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    update public.whatsapp_configuration c set is_active = false
    where c.user_id = delete_whatsapp_config.user_id;
    success := found;
    message := case when success then 'The WhatsApp configuration is switched off.'
                    else 'there is no WhatsApp configuration to switch off' end;
    return next;
exception
    when lock_not_available or deadlock_detected or serialization_failure then
        success := false;
        message := 'The database is busy with the same rows; nothing was changed. '
            'Please try again.';
        return next;
    when others then
        success := false;
        message := format('Nothing was changed: unexpected error %s.', sqlstate);
        raise log 'agent-provisioner: delete_whatsapp_config failed: % (SQLSTATE %)',
            sqlerrm, sqlstate;
        return next;
end $$;
