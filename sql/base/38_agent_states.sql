-- How far agents' tables are: which state that is, in which words, and the row of public.agent_states that follows it.
--
-- That row is written in the transaction that changes the state, at its end: triggers on the queue and on the registry are
-- deferred until the commit. So nobody waits for the row of an agent that a worker is at, and its lock comes
-- after all others. There is a row for each row of public.agents, and it goes with that.

-- How far an agent's tables are: docs/api.md has the states.
-- alive: its row is in public.agents; built: it is registered
-- deletion, build: the state of its last job of that kind; null: there is none
-- held: another job of the prefix, which is dead or paused, comes before the build
-- no_worker: nobody runs that would take the deletion or the build
-- In PL/pgSQL, which plans it once per session.
create or replace function provisioning.agent_state(
    alive boolean, built boolean, deletion text, build text, held boolean, no_worker boolean
) returns text
    language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return case
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
    end;
end $$;

-- The agents that the user owns, and those of his businesses. The policy of agent_states asks once per query, as (select …).
create or replace function provisioning.my_agents() returns bigint[]
    language plpgsql stable parallel safe security definer set search_path = pg_catalog, pg_temp as $$
begin
    return array(
        select a.id from public.agents a
        where a.user_id = auth.uid() or a.business_id = any (provisioning.my_businesses('staff')));
end $$;

-- The words for the states that are kept. No server error is in them: they may be shown to whoever may see the agent.
create or replace function provisioning.agent_state_message(
    state text, deletion_state text, deletion bigint, build_state text, build bigint
) returns text
    language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return case state
        when 'ready' then 'The tables are ready.'
        when 'deleting' then 'The agent is being deleted.'
        when 'paused' then format('The deletion waits for an operator''s approval, as job %s.', deletion)
        when 'failed' then case
            when deletion_state = 'dead' then format('Deleting the agent failed; an operator has to look at job %s.', deletion)
            else format('Building the tables failed; an operator has to look at job %s.', build) end
        when 'cancelled' then format('An operator cancelled the building of the tables, which was job %s.', build)
        when 'pending' then case
            when build_state = 'pending' then 'The tables are being built.'
            else 'Nobody has asked for the tables yet.' end
    end;
end $$;

-- What is kept of agents that exist: what their own jobs and registration make of them.
-- Plans are kept for a session, as in 60_claim.sql.
create or replace function provisioning.lasting_states(ids bigint[])
    returns table (agent_id bigint, state text, template_version integer, message text)
    language plpgsql stable rows 10 set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
    set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
begin
    return query
    select k.agent_id, how.state, b.template_version,
        provisioning.agent_state_message(how.state, deletion.state, deletion.id, build.state, build.id)
    from unnest(ids) k (agent_id)
    left join provisioning.agents b on b.agent_id = k.agent_id
    left join lateral (
        select j.id, j.state from provisioning.jobs j
        where j.agent_id = k.agent_id and j.kind = 'deprovision' order by j.id desc limit 1
    ) deletion on true
    left join lateral (
        select j.id, j.state from provisioning.jobs j
        where j.agent_id = k.agent_id and j.kind = 'provision' order by j.id desc limit 1
    ) build on true
    cross join lateral (
        select provisioning.agent_state(true, b.agent_id is not null, deletion.state, build.state, false, false) as state
    ) how;
end $$;

-- The same for people, with what time, other jobs and whoever touched the tables make of it, and for agents that are gone, too.
-- user_id: the owner; of an agent whose row is gone, whoever owned it when the deletion was asked for
create or replace function provisioning.describe_agents(ids bigint[])
    returns table (agent_id bigint, user_id uuid, state text, template_version integer, message text)
    language plpgsql stable set search_path = pg_catalog, pg_temp set jit = off as $$
#variable_conflict use_column
begin
    return query
    with living as materialized (
        select l.id, l.user_id from provisioning.living_agents(ids) l
    ), displaced as materialized (
        select d.agent_id,
            string_agg(format(' The table %s was %s.', d.table_name, d.displacement), '' order by d.table_name) as words
        from provisioning.displaced_tables d where d.agent_id = any (ids)
        group by d.agent_id
    )
    select k.agent_id, case when l.id is not null then l.user_id else deletion.user_id end, how.state, b.template_version,
        concat(
            case
                when how.state = 'gone' then 'There is no such agent.'
                when how.state = 'kept' then format(
                    'The agent is gone; its tables are kept, since job %s was cancelled.', deletion.id)
                when how.state = 'orphaned' then 'The agent is gone, and nobody has asked for the deletion of its tables yet.'
                when how.state = 'blocked' then format(
                    'The tables are not built yet: an operator has to look at job %s first.', held.id)
                when how.state = 'waiting' and deletion.state = 'pending'
                    then 'The agent is to be deleted, but no worker is running.'
                when how.state = 'waiting' then 'The tables are to be built, but no worker is running.'
                when how.state = 'deleting' and deletion.attempts > 0 then format(
                    'Deleting the agent has failed %s times; it is tried again.', deletion.attempts)
                when how.state = 'pending' and build.state = 'pending' and build.attempts > 0 then format(
                    'Building the tables has failed %s times; it is tried again.', build.attempts)
                when how.state = 'pending' and build.state = 'pending' and isfinite(build.due_at)
                     and build.due_at < now() - interval '1 minute' then format(
                    'The tables have been waiting to be built for %s minutes.',
                    floor(extract(epoch from now() - build.due_at) / 60))
                else provisioning.agent_state_message(how.state, deletion.state, deletion.id, build.state, build.id)
            end,
            case change.state
                when 'dead' then format(' Their last %s failed; an operator has to look at job %s.', change.noun, change.id)
                when 'pending' then format(' Their %s is under way.', change.noun)
            end,
            displaced.words)
    from unnest(ids) k (agent_id)
    left join living l on l.id = k.agent_id
    left join provisioning.agents b on b.agent_id = k.agent_id
    left join lateral (
        select j.id, j.state, j.attempts, j.due_at, j.user_id from provisioning.jobs j
        where j.agent_id = k.agent_id and j.kind = 'deprovision' order by j.id desc limit 1
    ) deletion on true
    left join lateral (
        select j.id, j.state, j.attempts, j.due_at from provisioning.jobs j
        where j.agent_id = k.agent_id and j.kind = 'provision' order by j.id desc limit 1
    ) build on true
    left join lateral (
        select min(w.earlier) as id from provisioning.job_waits w
        where b.agent_id is null and w.job = build.id and w.earlier_state in ('dead', 'paused')
    ) held on true
    cross join lateral (
        select provisioning.agent_state(
            l.id is not null, b.agent_id is not null, deletion.state, build.state, held.id is not null,
            case
                when deletion.state = 'pending' then provisioning.no_worker(deletion.due_at)
                else b.agent_id is null and provisioning.no_worker(build.due_at) end) as state
    ) how
    left join lateral (
        select j.id, j.state, case j.kind when 'convert' then 'conversion' else j.kind end as noun from provisioning.jobs j
        where how.state = 'ready' and j.agent_id = k.agent_id
          and j.kind in ('upgrade', 'repair', 'convert') and j.state in ('pending', 'dead')
        order by j.state = 'dead' desc, j.id desc limit 1
    ) change on true
    left join displaced on displaced.agent_id = k.agent_id;
end $$;

-- Writes the rows of agents whose state is another by now. They are locked first: what whoever had them has changed is to be
-- seen then, and a transaction of many agents locks them in one order. Whoever writes them has them for an instant. An open
-- DELETE of an agent has its row for long, and nobody is to wait for that: if it is taken back, reconcile writes the row.
create or replace function provisioning.note_agent_states(ids bigint[]) returns void
    language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
    set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    before constant text := current_setting('lock_timeout');
    held   bigint[];
begin
    held := array(
        select s.agent_id from public.agent_states s where s.agent_id = any (ids) order by s.agent_id for no key update skip locked);
    if cardinality(held) < (select count(*) from public.agent_states s where s.agent_id = any (ids)) then
        begin
            perform set_config('lock_timeout', '250ms', true);
            held := array(
                select s.agent_id from public.agent_states s where s.agent_id = any (ids) order by s.agent_id for no key update);
        exception when lock_not_available then
            null;
        end;
        perform set_config('lock_timeout', before, true);
    end if;
    update public.agent_states s
    set state = d.state, template_version = d.template_version, message = d.message, changed_at = clock_timestamp()
    from provisioning.lasting_states(held) d
    where s.agent_id = d.agent_id
      and (s.state, s.template_version, s.message) is distinct from (d.state, d.template_version, d.message);
end $$;

-- Writes the rows that agents lack: those that came in while the trigger was off, or before there was one. Looks again at
-- those that say that something is under way or wrong, and at those that may have missed that.
create or replace function provisioning.add_agent_states() returns void
    language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    missing bigint[];
begin
    missing := array(
        select a.id from public.agents a
        where not exists (select from public.agent_states s where s.agent_id = a.id)
        order by a.id for key share);
    insert into public.agent_states (agent_id, state, template_version, message)
    select d.agent_id, d.state, d.template_version, d.message from provisioning.lasting_states(missing) d
    on conflict (agent_id) do nothing;
    perform provisioning.note_agent_states(array(
        select s.agent_id from public.agent_states s
        where s.state <> 'ready'
           or not exists (
               select from provisioning.agents b
               where b.agent_id = s.agent_id and b.template_version is not distinct from s.template_version)
           or s.agent_id in (
               select j.agent_id from provisioning.jobs j
               where j.kind = 'deprovision' and j.state in ('pending', 'dead', 'paused'))));
end $$;

-- Of a job that builds or deletes, or of a registration: the agent's state may be another.
create or replace function provisioning.note_agent_state() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform provisioning.note_agent_states(array[coalesce(new.agent_id, old.agent_id)]);
    return null;
end $$;
