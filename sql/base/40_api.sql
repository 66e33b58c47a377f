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
create or replace function provisioning.user_error(during text, state text, details text, out code text, out message text)
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise log 'agent-provisioner: % failed: % (SQLSTATE %)', during, details, state;
    if state like '40%' or state in ('55P03', '53300') then
        code := 'busy';
        message := 'The database is busy with the same rows; nothing was changed. Please try again.';
    else
        code := 'unexpected';
        message := format('Nothing was changed: unexpected error %s. The server''s log says more.', state);
    end if;
end $$;

------------------------------------------------------------------------------------------------
-- Agents
------------------------------------------------------------------------------------------------

-- Admins and the backend only, by the policy on agents. A trigger draws a prefix where none is given, and finds the business.
create or replace function public.create_agent(
    user_id uuid, agent_prefix varchar default null, created_by uuid default null, business_id uuid default null
) returns table (agent jsonb, success boolean, message text, code text)
    language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    signed_in constant uuid := auth.uid();
    creator   constant uuid := coalesce(signed_in, create_agent.created_by);
    violated  text;
begin
    success := false;
    if signed_in <> create_agent.created_by then
        code := 'wrong_user';
        message := 'created_by must be the signed-in user';
    elsif creator is null then
        code := 'argument_missing';
        message := 'created_by is required';
    elsif create_agent.user_id is null then
        code := 'argument_missing';
        message := 'user_id is required';
    elsif create_agent.agent_prefix !~ '^[a-z][a-z0-9_]{1,19}$' then
        code := 'prefix_invalid';
        message := format('agent_prefix "%s" is not valid: it must be 2 to 20 characters of '
            'a-z, 0-9 and _, starting with a letter', left(create_agent.agent_prefix, 60));
    end if;
    if message is not null then
        return next;
        return;
    end if;

    for attempt in 1..5 loop
        begin
            insert into public.agents as a (agent_prefix, user_id, created_by, business_id)
            values (create_agent.agent_prefix, create_agent.user_id, creator, create_agent.business_id)
            returning to_jsonb(a) into agent;
            success := true;
            code := 'ok';
            message := format('Agent %s is created; its tables are being built.', agent ->> 'agent_prefix');
            exit;
        exception
            when unique_violation then
                get stacked diagnostics violated = constraint_name;
                if violated = 'agents_agent_prefix_key' then
                    code := 'prefix_taken';
                    message := format('agent_prefix "%s" is taken', create_agent.agent_prefix);
                    exit when create_agent.agent_prefix is not null;
                elsif violated = 'agents_user_id_key' then
                    code := 'user_has_agent';
                    message := format('user %s has an agent already', create_agent.user_id);
                    exit;
                else
                    raise;
                end if;
            when foreign_key_violation then
                get stacked diagnostics violated = constraint_name;
                code := case when violated = 'agents_business_id_fkey' then 'no_such_business' else 'no_such_user' end;
                message := case
                    when violated = 'agents_business_id_fkey' then format('there is no business %s', create_agent.business_id)
                    else format('there is no user %s', case
                        when exists (select from public.users u where u.id = create_agent.user_id)
                        then creator else create_agent.user_id end)
                end;
                exit;
            when not_null_violation then
                code := 'business_required';
                message := 'business_id is required: the creator owns or administers none or several';
                exit;
            when insufficient_privilege then
                code := 'not_admin';
                message := 'only an admin may create an agent';
                exit;
        end;
    end loop;
    return next;
-- Not provisioning.user_error: who calls this has no right to that schema.
exception
    when lock_not_available or deadlock_detected or serialization_failure then
        agent := null;
        success := false;
        code := 'busy';
        message := 'The database is busy with the same rows; nothing was changed. '
            'Please try again.';
        return next;
    when others then
        agent := null;
        success := false;
        code := 'unexpected';
        message := format('Nothing was changed: unexpected error %s.', sqlstate);
        raise log 'agent-provisioner: create_agent failed: % (SQLSTATE %)', sqlerrm, sqlstate;
        return next;
end $$;

-- Changes what differs and ignores what does not, so that a client may send whole rows back.
-- Owner, creator and admins; roles, created_by and user_id are an admin's. The backend may act for a user
-- by naming it in current_user_id, and is then bound by that user's rights.
create or replace function provisioning.update_agent_details(
    agent_id bigint, user_updates jsonb, agent_updates jsonb, current_user_id uuid
) returns table (agent jsonb, success boolean, message text, code text)
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
        code := 'not_signed_in';
        message := 'nobody is signed in';
    elsif signed_in <> update_agent_details.current_user_id then
        code := 'wrong_user';
        message := 'current_user_id must be the signed-in user';
    elsif jsonb_typeof(user_updates) not in ('object', 'null')
       or jsonb_typeof(agent_updates) not in ('object', 'null') then
        code := 'argument_invalid';
        message := 'user_updates and agent_updates must be JSON objects';
    end if;
    if message is not null then
        return next;
        return;
    end if;

    select a.* into old_agent from public.agents a where a.id = update_agent_details.agent_id;
    if not found then
        code := 'no_such_agent';
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
        code := 'not_allowed';
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
        code := 'not_changeable';
        message := format('"%s" cannot be changed', left(odd, 60));
    elsif for_agent ? 'agent_prefix' then
        code := 'not_changeable';
        message := 'agent_prefix cannot be changed: the agent''s tables carry it';
    elsif for_agent ? 'created_by' and not privileged then
        code := 'not_admin';
        message := 'only an admin may change created_by';
    elsif for_agent ? 'user_id' and not privileged then
        code := 'not_admin';
        message := 'only an admin may give an agent to another user';
    elsif for_user <> '{}' and old_user.id is null then
        code := 'no_such_user';
        message := 'the agent has no user to change';
    elsif for_user ? 'email' then
        code := 'not_changeable';
        message := 'e-mail addresses are changed through Supabase Auth; public.users follows';
    elsif for_user ? 'role' and not privileged then
        code := 'not_admin';
        message := 'only an admin may change a role';
    elsif for_user ? 'role' and coalesce(for_user ->> 'role', '') not in ('admin', 'agent') then
        code := 'argument_invalid';
        message := 'role must be admin or agent';
    elsif for_user ? 'name' and (
              jsonb_typeof(for_user -> 'name') <> 'string'
              or length(btrim(for_user ->> 'name')) not between 1 and 255) then
        code := 'argument_invalid';
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
    code := 'ok';
    message := case when for_user = '{}' and for_agent = '{}'
                    then 'Nothing to change.' else 'The agent is updated.' end;
    return next;
exception
    when unique_violation then
        success := false;
        code := 'user_has_agent';
        message := 'that user has an agent already';
        return next;
    when foreign_key_violation then
        success := false;
        code := 'no_such_user';
        message := 'there is no such user';
        return next;
    when invalid_text_representation then
        success := false;
        code := 'argument_invalid';
        message := 'user_id and created_by must be UUIDs';
        return next;
    when others then
        success := false;
        select e.code, e.message into code, message from provisioning.user_error('update_agent_details', sqlstate, sqlerrm) e;
        return next;
end $$;

create or replace function public.update_agent_details(
    agent_id bigint,
    user_updates jsonb default null,
    agent_updates jsonb default null,
    current_user_id uuid default null
) returns table (agent jsonb, success boolean, message text, code text)
    language sql set search_path = pg_catalog, pg_temp
begin atomic
    select r.agent, r.success, r.message, r.code
    from provisioning.update_agent_details(
        agent_id, user_updates, agent_updates, current_user_id
    ) r;
end;

-- Asks for the deletion: the worker drops the tables, deletes the row and switches the WhatsApp
-- configuration off in one transaction, in milliseconds. Owner, creator, owners and admins of the business, admins and the
-- backend.
create or replace function provisioning.delete_agent(agent_id bigint)
    returns table (success boolean, message text, code text)
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
        code := 'no_such_agent';
        message := format('there is no agent %s', delete_agent.agent_id);
    elsif coalesce(signed_in = found_agent.created_by, false)
          or provisioning.owned_agent(found_agent.id) is not null or provisioning.is_backend() then
        answer := provisioning.enqueue_or_replay('deprovision', found_agent.id, found_agent.agent_prefix,
                                       found_agent.user_id, 'delete_agent');
        success := true;
        code := case
            when answer = 'waiting' and exists (
                select from provisioning.jobs j
                where j.agent_id = found_agent.id and j.kind = 'deprovision' and j.state = 'paused')
            then 'paused' else 'ok' end;
        message := case
            when code = 'paused' then format('The deletion of agent %s waits for an operator''s approval.', found_agent.agent_prefix)
            when answer = 'waiting' then format('The deletion of agent %s is already under way.',
                                       found_agent.agent_prefix)
            else format('Agent %s and its tables are being deleted.', found_agent.agent_prefix)
        end;
    else
        code := 'not_allowed';
        message := 'only the agent''s owner, its creator, owners and admins of its business, and admins may delete it';
    end if;
    return next;
exception when others then
    success := false;
    select e.code, e.message into code, message from provisioning.user_error('delete_agent', sqlstate, sqlerrm) e;
    return next;
end $$;

create or replace function public.delete_agent(agent_id bigint)
    returns table (success boolean, message text, code text)
    language sql set search_path = pg_catalog, pg_temp
begin atomic
    select r.success, r.message, r.code from provisioning.delete_agent(agent_id) r;
end;

-- How far an agent's tables are, for the owner, members of its business, admins and the backend. Of an agent whose row is
-- gone: for the user who owned it when the deletion was asked for.
create or replace function provisioning.agent_status(agent_id bigint)
    returns table (state text, template_version integer, message text)
    language plpgsql stable security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
#variable_conflict use_column
declare
    described record;
begin
    select d.* into described from provisioning.describe_agents(array[agent_status.agent_id]) d;
    if not (coalesce(auth.uid() = described.user_id, false)
            or provisioning.staffed_agent(agent_status.agent_id) is not null or provisioning.is_backend()) then
        raise exception 'only the agent''s owner, members of its business and admins may see its state'
            using errcode = 'insufficient_privilege';
    end if;
    state := described.state;
    template_version := described.template_version;
    message := described.message;
    return next;
end $$;

create or replace function public.agent_status(agent_id bigint)
    returns table (state text, template_version integer, message text)
    language sql stable set search_path = pg_catalog, pg_temp
begin atomic
    select r.state, r.template_version, r.message from provisioning.agent_status(agent_id) r;
end;

-- The same of all agents that the caller may ask for.
create or replace function provisioning.agent_statuses()
    returns table (agent_id bigint, state text, template_version integer, message text)
    language plpgsql stable security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
#variable_conflict use_column
declare
    signed_in  constant uuid := auth.uid();
    all_agents constant boolean := provisioning.is_admin() or provisioning.is_backend();
    businesses constant uuid[] := provisioning.my_businesses('staff');
begin
    return query
    select d.agent_id, d.state, d.template_version, d.message
    from provisioning.describe_agents(array(
        select a.id from public.agents a
        where all_agents or a.user_id = signed_in or a.business_id = any (businesses)
        union
        select j.agent_id from provisioning.jobs j
        where j.kind = 'deprovision' and j.state in ('pending', 'dead', 'paused') and (all_agents or j.user_id = signed_in)
          and not exists (select from public.agents a where a.id = j.agent_id)
        union
        select b.agent_id from provisioning.agents b where all_agents
    )) d
    order by d.agent_id;
end $$;

create or replace function public.agent_statuses()
    returns table (agent_id bigint, state text, template_version integer, message text)
    language sql stable set search_path = pg_catalog, pg_temp
begin atomic
    select r.agent_id, r.state, r.template_version, r.message from provisioning.agent_statuses() r;
end;

------------------------------------------------------------------------------------------------
-- Kept for old clients, who built and dropped tables by hand: admins and the backend only. The
-- worker does these things by itself.
------------------------------------------------------------------------------------------------

create or replace function provisioning.create_agent_tables(prefix text, agent_id bigint)
    returns table (success boolean, message text, code text)
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
#variable_conflict use_column
declare
    found_agent public.agents;
begin
    success := false;
    if not (provisioning.is_admin() or provisioning.is_backend()) then
        code := 'not_admin';
        message := 'only an admin may build an agent''s tables';
        return next;
        return;
    end if;
    select a.* into found_agent from public.agents a
    where a.id = create_agent_tables.agent_id and a.agent_prefix = create_agent_tables.prefix;
    if found_agent.id is null then
        code := 'no_such_agent';
        message := format('there is no agent %s with the prefix "%s"',
            create_agent_tables.agent_id, left(create_agent_tables.prefix, 60));
    elsif exists (select from provisioning.agents b where b.agent_id = found_agent.id) then
        success := true;
        code := 'ok';
        message := format('The tables of %s are there already.', found_agent.agent_prefix);
    else
        perform provisioning.enqueue_or_replay('provision', found_agent.id, found_agent.agent_prefix,
                                     found_agent.user_id, 'create_agent_tables');
        success := true;
        code := 'ok';
        message := format('The tables of %s are being built.', found_agent.agent_prefix);
    end if;
    return next;
exception when others then
    success := false;
    select e.code, e.message into code, message from provisioning.user_error('create_agent_tables', sqlstate, sqlerrm) e;
    return next;
end $$;

create or replace function public.create_agent_tables(prefix text, agent_id bigint)
    returns table (success boolean, message text, code text)
    language sql set search_path = pg_catalog, pg_temp
begin atomic
    select r.success, r.message, r.code from provisioning.create_agent_tables(prefix, agent_id) r;
end;

-- An agent's tables go with the agent and not before: this neither deletes an agent nor leaves
-- one without tables. It clears up what is registered for a prefix whose agent is gone.
create or replace function provisioning.drop_agent_tables(prefix text)
    returns table (success boolean, message text, code text)
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
#variable_conflict use_column
declare
    alive bigint;
    built provisioning.agents;
begin
    success := false;
    if not (provisioning.is_admin() or provisioning.is_backend()) then
        code := 'not_admin';
        message := 'only an admin may drop an agent''s tables';
        return next;
        return;
    end if;
    select a.id into alive from public.agents a where a.agent_prefix = drop_agent_tables.prefix;
    select b.* into built from provisioning.agents b
    where b.agent_prefix = drop_agent_tables.prefix;
    if alive is not null then
        code := 'agent_exists';
        message := format('the tables of %s go with the agent: call delete_agent(%s)',
            drop_agent_tables.prefix, alive);
    elsif built.agent_id is null then
        success := true;
        code := 'ok';
        message := format('No tables are registered for "%s".',
            left(drop_agent_tables.prefix, 60));
    else
        perform provisioning.enqueue_or_replay('deprovision', built.agent_id, built.agent_prefix,
                                     built.user_id, 'drop_agent_tables');
        success := true;
        code := 'ok';
        message := format('The tables of %s are being dropped.', built.agent_prefix);
    end if;
    return next;
exception when others then
    success := false;
    select e.code, e.message into code, message from provisioning.user_error('drop_agent_tables', sqlstate, sqlerrm) e;
    return next;
end $$;

create or replace function public.drop_agent_tables(prefix text)
    returns table (success boolean, message text, code text)
    language sql set search_path = pg_catalog, pg_temp
begin atomic
    select r.success, r.message, r.code from provisioning.drop_agent_tables(prefix) r;
end;

create or replace function provisioning.create_agent_indexes(prefix text)
    returns table (success boolean, message text, code text)
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
#variable_conflict use_column
declare
    built provisioning.agents;
begin
    success := false;
    if not (provisioning.is_admin() or provisioning.is_backend()) then
        code := 'not_admin';
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
        code := 'ok';
        message := format('The indexes of %s are being checked and completed.',
            built.agent_prefix);
    elsif exists (select from public.agents a
                  where a.agent_prefix = create_agent_indexes.prefix) then
        code := 'not_built';
        message := format('the tables of %s are not built yet; their indexes come with them',
            create_agent_indexes.prefix);
    else
        code := 'no_such_agent';
        message := format('there is no agent with the prefix "%s"',
            left(create_agent_indexes.prefix, 60));
    end if;
    return next;
exception when others then
    success := false;
    select e.code, e.message into code, message from provisioning.user_error('create_agent_indexes', sqlstate, sqlerrm) e;
    return next;
end $$;

create or replace function public.create_agent_indexes(prefix text)
    returns table (success boolean, message text, code text)
    language sql set search_path = pg_catalog, pg_temp
begin atomic
    select r.success, r.message, r.code from provisioning.create_agent_indexes(prefix) r;
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
) returns table (config jsonb, success boolean, message text, code text)
    language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    success := false;
    if create_whatsapp_config.user_id is null then
        code := 'argument_missing';
        message := 'user_id is required';
    elsif coalesce(btrim(create_whatsapp_config.whatsapp_number), '') = '' then
        code := 'argument_missing';
        message := 'whatsapp_number is required';
    elsif coalesce(btrim(create_whatsapp_config.webhook_url), '') = '' then
        code := 'argument_missing';
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
        code := 'ok';
        message := 'The WhatsApp configuration is saved.';
    end if;
    return next;
exception
    when insufficient_privilege then
        code := 'not_allowed';
        message := 'only the user and admins may change this WhatsApp configuration';
        return next;
    when foreign_key_violation then
        code := 'no_such_user';
        message := format('there is no user %s', create_whatsapp_config.user_id);
        return next;
    when string_data_right_truncation then
        code := 'argument_invalid';
        message := 'whatsapp_number holds 20 characters, the two ids 100';
        return next;
    when lock_not_available or deadlock_detected or serialization_failure then
        success := false;
        code := 'busy';
        message := 'The database is busy with the same rows; nothing was changed. '
            'Please try again.';
        return next;
    when others then
        code := 'unexpected';
        message := format('Nothing was changed: unexpected error %s.', sqlstate);
        raise log 'agent-provisioner: create_whatsapp_config failed: % (SQLSTATE %)',
            sqlerrm, sqlstate;
        return next;
end $$;

-- The active configuration. One that is not there and one that is not yours look the same.
create or replace function public.get_whatsapp_config(user_id uuid)
    returns table (config jsonb, success boolean, message text, code text)
    language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    select to_jsonb(c) into config from public.whatsapp_configuration c
    where c.user_id = get_whatsapp_config.user_id and c.is_active;
    success := config is not null;
    code := case when success then 'ok' else 'no_such_config' end;
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
) returns table (config jsonb, success boolean, message text, code text)
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
    code := case when success then 'ok' else 'no_such_config' end;
    message := case when success then 'The WhatsApp configuration is updated.'
                    else 'there is no WhatsApp configuration to change' end;
    return next;
exception
    when string_data_right_truncation then
        success := false;
        code := 'argument_invalid';
        message := 'whatsapp_number holds 20 characters, the two ids 100';
        return next;
    when lock_not_available or deadlock_detected or serialization_failure then
        success := false;
        code := 'busy';
        message := 'The database is busy with the same rows; nothing was changed. '
            'Please try again.';
        return next;
    when others then
        success := false;
        code := 'unexpected';
        message := format('Nothing was changed: unexpected error %s.', sqlstate);
        raise log 'agent-provisioner: update_whatsapp_config failed: % (SQLSTATE %)',
            sqlerrm, sqlstate;
        return next;
end $$;

-- Switches the configuration off; the row stays.
create or replace function public.delete_whatsapp_config(user_id uuid)
    returns table (success boolean, message text, code text)
    language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    update public.whatsapp_configuration c set is_active = false
    where c.user_id = delete_whatsapp_config.user_id;
    success := found;
    code := case when success then 'ok' else 'no_such_config' end;
    message := case when success then 'The WhatsApp configuration is switched off.'
                    else 'there is no WhatsApp configuration to switch off' end;
    return next;
exception
    when lock_not_available or deadlock_detected or serialization_failure then
        success := false;
        code := 'busy';
        message := 'The database is busy with the same rows; nothing was changed. '
            'Please try again.';
        return next;
    when others then
        success := false;
        code := 'unexpected';
        message := format('Nothing was changed: unexpected error %s.', sqlstate);
        raise log 'agent-provisioner: delete_whatsapp_config failed: % (SQLSTATE %)',
            sqlerrm, sqlstate;
        return next;
end $$;
