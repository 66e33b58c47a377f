-- Whether an agent is gone, asked in a way that row security cannot filter.
--
-- To the worker's role a row that a policy hides looks like a deleted row, and the worker drops the tables
-- of deleted agents. These functions run as the owner of the schema with row_security = off: where a
-- policy would hide a row from the owner too (row security is forced), they raise 42501 and do not
-- answer. So an answer is a proof.

-- Refuses where public.agents is not the table that the first migration made or took over: the rows of a view, or of a
-- table that somebody has put in its place, say nothing of which agents are gone. That table has a trigger of ours.
create or replace function provisioning.require_agents() returns void
    language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if not exists (
        select from pg_class c
        join pg_trigger t on t.tgrelid = c.oid and t.tgname = 'enqueue_deprovision'
        where c.oid = 'public.agents'::regclass and c.relkind in ('r', 'p'))
    then
        raise exception 'public.agents is not the table of agents: it is a view, or lacks the trigger enqueue_deprovision'
            using errcode = 'insufficient_privilege';
    end if;
end $$;

-- The agents that exist: those of these ids, or all where `ids` is null.
create or replace function provisioning.living_agents(ids bigint[] default null)
returns table (id bigint, agent_prefix text, user_id uuid, created_by uuid, created_at timestamptz)
    language plpgsql stable security definer
    set search_path = pg_catalog, pg_temp set row_security = off as $$
#variable_conflict use_column
begin
    perform provisioning.require_agents();
    if ids is null then
        return query
        select a.id, a.agent_prefix::text, a.user_id, a.created_by, a.created_at from public.agents a;
    else
        return query
        select a.id, a.agent_prefix::text, a.user_id, a.created_by, a.created_at from public.agents a
        where a.id = any (ids);
    end if;
end $$;

-- The highest id that an agent has or had. No id is given again: what is left of a deleted agent bears it.
create or replace function provisioning.highest_agent_id() returns bigint
    language sql stable set search_path = pg_catalog, pg_temp as $$
    select greatest((select max(id) from public.agents), (select max(agent_id) from provisioning.agents),
        (select max(agent_id) from provisioning.jobs), (select max(agent_id) from provisioning.trash),
        (select max(agent_id) from provisioning.deleted_agents))
$$;

-- Keeps an agent from being deleted until the transaction ends. False: there is no such agent.
create or replace function provisioning.hold_agent(agent_id bigint, prefix text) returns boolean
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp set row_security = off as $$
#variable_conflict use_variable
begin
    perform provisioning.require_agents();
    perform from public.agents a where a.id = agent_id and a.agent_prefix = prefix for key share;
    return found;
end $$;

-- An emptied table of agents looks like the deletion of all of them. Fires for TRUNCATE … CASCADE, too.
create or replace function provisioning.refuse_truncate() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if coalesce(current_setting('provisioning.allow_truncate', true), '') = 'on' then
        return null;
    end if;
    raise exception 'TRUNCATE of public.agents would delete all agents'
        using errcode = 'object_not_in_prerequisite_state',
              hint = 'To delete agents use DELETE. If you mean it: '
                  'set provisioning.allow_truncate = on; then TRUNCATE … CASCADE in the same session. It empties '
                  'whatsapp_numbers and agent_states, too.';
end $$;

-- Before PostgreSQL 18 a trigger that a foreign key's cascade sets off runs with the rights of whoever deletes the agent,
-- once the statement or the transaction ends. It must not be code of the tables' owner, who may be the worker's role.
--
-- The cascades into the tables that refer to agents are done by now. Their triggers are not: those come after this one.
-- So what is to run is there to be seen, and nothing more comes to the tables that are still to be reached: they are locked
-- against that.
create or replace function provisioning.refuse_foreign_code() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    found_code text;
    found_rows text;
    held       oid[] := '{}';
    reached    oid[];
    name       text;
begin
    if current_setting('server_version_num')::integer >= 180000 then
        return null;
    end if;
    loop
        with recursive below as (
            select k.conrelid as oid
            from pg_catalog.pg_trigger t
            join pg_catalog.pg_constraint k on k.oid = t.tgconstraint and k.confrelid = t.tgrelid
            where t.tgrelid = tg_relid and (t.tgtype & 8) <> 0 and pg_stat_get_xact_tuples_deleted(k.conrelid) > 0
            union
            select k.conrelid
            from below b
            join pg_catalog.pg_trigger t on t.tgrelid = b.oid and (t.tgtype & 8) <> 0
            join pg_catalog.pg_constraint k on k.oid = t.tgconstraint and k.confrelid = t.tgrelid
        )
        select array_agg(c.oid order by c.oid) into reached
        from below b
        join pg_catalog.pg_class c on c.oid = b.oid and c.oid <> all (held)
        join pg_catalog.pg_class a on a.oid = tg_relid
        where not pg_has_role(c.relowner, a.relowner, 'usage') and pg_has_role(current_user, c.relowner, 'usage');
        exit when reached is null;
        foreach name in array reached::regclass[]::text[] loop
            execute format('lock table only %s in share update exclusive mode', name);
            held := held || to_regclass(name)::oid;
        end loop;
    end loop;
    with tied as materialized (
        select c.oid, c.relowner, a.relowner as agents_owner
        from pg_catalog.pg_trigger t
        join pg_catalog.pg_constraint k on k.oid = t.tgconstraint and k.confrelid = t.tgrelid
        join pg_catalog.pg_class c on c.oid = k.conrelid
        join pg_catalog.pg_class a on a.oid = t.tgrelid
        where t.tgrelid = tg_relid and (t.tgtype & 8) <> 0      -- for DELETE; each key has another one for UPDATE
          and not pg_has_role(c.relowner, a.relowner, 'usage')
    )
    select min(f.code), min(f.rows) into found_code, found_rows
    from (
        select format('function %s of role %s', p.oid::regprocedure, p.proowner::regrole) as code, null as rows
        from pg_catalog.pg_proc p where p.proowner in (
            select d.relowner from tied d union all select c.relowner from pg_catalog.pg_class c where c.oid = any (held))
        union all
        select format('isolation level %s, which sees no code that is new', i.level), null
        from (select current_setting('transaction_isolation') as level) i
        where i.level <> 'read committed' and exists (select from tied)
        union all
        -- One on a table that is reached sets off what hangs on a table that is not.
        select format('rule %I on %s', r.rulename, r.ev_class::regclass), null
        from pg_catalog.pg_rewrite r
        join pg_catalog.pg_class c on c.oid = r.ev_class and c.relkind in ('r', 'p')
        where c.relowner in (select d.relowner from tied d)
        union all
        -- It writes to a table that an argument names.
        select format('trigger %I on %s', t.tgname, t.tgrelid::regclass), null
        from tied d
        join pg_catalog.pg_trigger t on t.tgrelid = d.oid and not t.tgisinternal
        join pg_catalog.pg_proc p on p.oid = t.tgfoid and p.proname = 'total_orders'
        union all
        -- A function of ours deletes the row for the worker, whose tables have no rows of that agent any more.
        -- The server counts the rows that went a moment ago, too.
        select null, d.oid::regclass::text
        from tied d
        where pg_has_role(session_user, d.relowner, 'usage') and not pg_has_role(session_user, d.agents_owner, 'usage')
          and pg_stat_get_xact_tuples_deleted(d.oid) > 0
    ) f;
    if found_rows is not null then
        raise exception 'rows of % go with an agent, or went a moment ago', found_rows
            using errcode = 'serialization_failure';
    elsif found_code is not null then
        raise exception 'DELETE on public.agents would run code of others with the rights of whoever deletes'
            using errcode = 'object_not_in_prerequisite_state', detail = format('There is %s.', found_code),
                  hint = 'Drop it, or have tables refer to agents by a check: agents convert --reference check. From '
                      'PostgreSQL 18 on a trigger runs with the rights of the table''s owner.';
    end if;
    return null;
end $$;

-- The end of a deletion. Row security hides nothing from these functions, and they check that what they did is done.

-- What is known of an agent that is being deleted: from its row, else from what the deleted row left, else
-- nothing. A row that was put back under the same id is another agent's. That is known by the DELETE, if it was reported
-- since the deletion was asked for; or by a pending provision that the row's INSERT reported. What reconcile or a former
-- agent's tables have queued says nothing of a new row.
create or replace function provisioning.leaving_agent(agent bigint)
returns table (
    present boolean,                -- its row is there, and goes with the deletion
    known boolean, user_id uuid, created_by uuid, created_at timestamptz
)
    language plpgsql stable security definer
    set search_path = pg_catalog, pg_temp set row_security = off as $$
#variable_conflict use_column
begin
    return query
    select true, true, a.user_id, a.created_by, a.created_at from public.agents a
    where a.id = agent
      and not exists (
          select from provisioning.jobs j
          where j.agent_id = agent and j.kind = 'provision' and j.state = 'pending' and not j.unreported)
      and not exists (
          select from provisioning.deleted_agents d
          join provisioning.jobs j on j.agent_id = d.agent_id and j.kind = 'deprovision' and j.state = 'pending'
          where d.agent_id = agent and d.deleted_at >= j.created_at);
    if not found then
        return query
        select false, true, d.user_id, d.created_by, d.created_at from provisioning.deleted_agents d
        where d.agent_id = agent;
        if not found then
            return query select false, false, null::uuid, null::uuid, null::timestamptz;
        end if;
    end if;
end $$;

-- Deletes an agent's registration and row, and switches off the active WhatsApp configuration of the user whose
-- agent it is at that moment, unless the user has another agent. Its tables must be gone by then. An unknown
-- owner's configuration stays as it is. What was found goes to the agent's item in the trash.
--
-- Its deletion must be pending, and no other session may be on it. Where nobody asked for that deletion, an agent
-- that exists after all is left alone, and that is `superseded`.
--
-- Comes last: from here on the transaction has a lock on public.agents, for which others may wait.
create or replace function provisioning.remove_agent(agent bigint, item bigint)
returns table (superseded boolean, owner_known boolean)
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp set row_security = off as $$
#variable_conflict use_column
declare
    deletion provisioning.jobs;
    leaving record;
    remaining text;
    business uuid;
    switched_off boolean := false;
begin
    perform provisioning.require_present();
    perform provisioning.require_agents();
    select j.* into deletion from provisioning.jobs j
    where j.agent_id = agent and j.kind = 'deprovision' and j.state = 'pending'
    for update skip locked;
    if not found then
        raise exception 'no deletion of agent % is pending, or another session is on it', agent
            using errcode = 'insufficient_privilege';
    end if;
    perform from public.agents a where a.id = agent for update;     -- waits for a DELETE that is under way
    superseded := found and deletion.unreported;
    select * into leaving from provisioning.leaving_agent(agent);
    owner_known := leaving.known;
    if superseded then
        return next;
        return;
    end if;

    select string_agg(c.oid::regclass::text, ', ') into remaining
    from provisioning.agent_tables t
    join pg_catalog.pg_class c on c.oid = t.relation and c.relname = t.table_name
    where t.agent_id = agent;
    if remaining is not null then
        raise exception '% still belongs to agent %', remaining, agent
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'Look for a missing policy "worker" on tables of schema provisioning: deploy/roles.sql makes it.';
    end if;
    delete from provisioning.agents p where p.agent_id = agent;
    if exists (select from provisioning.agents p where p.agent_id = agent) then
        raise exception 'DELETE did not delete the registration of agent %', agent
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'Look for a rule or a trigger on provisioning.agents.';
    end if;
    if leaving.present then
        select a.business_id into business from public.agents a where a.id = agent;
        delete from public.agents a where a.id = agent;
        if exists (select from provisioning.leaving_agent(agent) l where l.present) then
            raise exception 'DELETE did not delete the row of agent %', agent
                using errcode = 'object_not_in_prerequisite_state',
                      hint = 'Look for a rule or a trigger on public.agents.';
        end if;
    end if;
    if not exists (select from public.agents a where a.user_id = leaving.user_id) then
        update public.whatsapp_configuration w set is_active = false, updated_at = now()
        where w.user_id = leaving.user_id and w.is_active;
        switched_off := found;
        if exists (select from public.whatsapp_configuration w
                   where w.user_id = leaving.user_id and w.is_active) then
            raise exception 'UPDATE did not switch off the WhatsApp configuration of user %', leaving.user_id
                using errcode = 'object_not_in_prerequisite_state',
                      hint = 'Look for a rule or a trigger on public.whatsapp_configuration.';
        end if;
    end if;
    if item is not null then
        if not leaving.present then
            select d.business_id into business from provisioning.deleted_agents d where d.agent_id = agent;
        end if;
        update provisioning.trash t
        set owner_known = leaving.known, user_id = leaving.user_id, created_by = leaving.created_by,
            created_at = leaving.created_at, business_id = business, whatsapp = switched_off
        where t.id = remove_agent.item and t.agent_id = agent;
        if not found then
            raise exception 'UPDATE did not change the item of agent % in the trash', agent
                using errcode = 'object_not_in_prerequisite_state',
                      hint = 'Look for a rule or a trigger on provisioning.trash.';
        end if;
    end if;
    return next;
end $$;
