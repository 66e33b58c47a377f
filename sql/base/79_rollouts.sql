-- Rollouts: started, changed and gone on with by functions, as the queue is written. See 78_queue_writes.sql.
--
-- A rollout's row is locked while its jobs are queued, counted or taken back. So one session at a time goes on with
-- it, and another one does where that session ended.

-- Goes on with the rollout that is open, if no other session does at this moment: notes which of its jobs have ended, stops it
-- where too many have failed, queues the next ones, and ends it.
-- goes_on: there is something to wait for
-- moved: something has changed
create or replace function provisioning.advance_rollouts() returns table (goes_on boolean, moved boolean)
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off
    set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
declare
    ours     provisioning.rollouts;
    who      text;
    ended    bigint;
    failures bigint;
    queued   bigint;    -- in the queue
    canaries bigint;    -- that have not ended
    bad      bigint;    -- canaries that have failed
    undone   bigint;
    room     bigint;
    chosen   bigint[];
    jobs     bigint[];
    fed      bigint := 0;
begin
    select r.* into ours from provisioning.rollouts r where r.ended_at is null for update skip locked;
    if not found then
        return query select exists (select from provisioning.rollouts r where r.ended_at is null), false;
        return;
    end if;
    who := format('rollout %s of %s', ours.id, ours.requested_by);

    -- A job that was pruned had ended.
    update provisioning.rollout_agents a
    set result = e.result
    from (
        select o.place, case
                when j.state = 'pending' then case when exists (
                    select from provisioning.job_waits w where w.job = j.id and w.earlier_state in ('dead', 'paused'))
                    then 'blocked' end
                when j.id is not null then j.state
                when p.agent_id is null then 'gone'
                when p.template_version >= ours.template_version then 'succeeded'
                else 'cancelled' end as result
        from provisioning.rollout_agents o
        left join provisioning.jobs j on j.id = o.job
        left join provisioning.agents p on p.agent_id = o.agent_id
        where o.rollout = ours.id and o.result is null and o.job is not null
    ) e
    where a.rollout = ours.id and a.place = e.place and e.result is not null;
    get diagnostics ended = row_count;

    select count(*) filter (where a.result in ('dead', 'blocked')),
        count(*) filter (where a.result is null and a.job is not null),
        count(*) filter (where a.result is null and a.place <= ours.canaries),
        count(*) filter (where a.result in ('dead', 'blocked') and a.place <= ours.canaries),
        count(*) filter (where a.result is null)
    into failures, queued, canaries, bad, undone
    from provisioning.rollout_agents a
    where a.rollout = ours.id;

    if ours.state in ('running', 'paused') and (bad > 0 or failures >= ours.max_failures) then
        perform provisioning.cancel(array(
                select a.job from provisioning.rollout_agents a
                join provisioning.jobs j on j.id = a.job and j.state = 'pending'
                where a.rollout = ours.id and a.result is null),
            format('the rollout stopped at %s failed jobs', failures), who, false);
        update provisioning.rollouts r set state = 'failed', stopped_after = failures where r.id = ours.id
        returning r.* into strict ours;
    end if;

    if ours.state = 'running' then
        room := coalesce(ours.at_a_time - queued, undone);
        chosen := array(
            select a.agent_id from provisioning.rollout_agents a
            where a.rollout = ours.id and a.result is null and a.job is null
              and (canaries = 0 or a.place <= ours.canaries)
            order by a.place
            limit greatest(room, 0));
    end if;
    if cardinality(chosen) > 0 then
        jobs := array(
            select q.id from provisioning.queue_jobs(
                'upgrade', chosen, false, ours.template_version, null, who, 10::smallint, null) q);
        update provisioning.rollout_agents a
        set job = j.id
        from provisioning.jobs j
        where a.rollout = ours.id and a.result is null and a.agent_id = any (chosen)
          and j.id = any (jobs) and j.agent_id = a.agent_id;
        get diagnostics fed = row_count;
        if fed <> cardinality(jobs) then
            raise exception 'rollout %: % jobs for % agents', ours.id, cardinality(jobs), fed
                using errcode = 'internal_error';
        end if;
        -- Nothing is queued for an agent whose tables are gone.
        update provisioning.rollout_agents a
        set result = 'gone'
        where a.rollout = ours.id and a.result is null and a.job is null and a.agent_id = any (chosen)
          and not exists (select from provisioning.agents p where p.agent_id = a.agent_id);
    end if;

    select count(*), count(*) filter (where a.job is not null) into undone, queued
    from provisioning.rollout_agents a
    where a.rollout = ours.id and a.result is null;
    if undone = 0 or queued = 0 and ours.state not in ('running', 'paused') then
        update provisioning.rollouts r
        set ended_at = clock_timestamp(),
            state = case when r.state in ('running', 'paused') then 'done' else r.state end
        where r.id = ours.id;
        return query select false, true;
        return;
    end if;
    return query select queued > 0 or ours.state = 'running', ended + fed > 0;
end $$;

-- Starts a rollout for registered agents, those first that are named first, and queues its first jobs. Where one is under way
-- that is to do the same, that one is it; where another one is, nothing is started. Its id and its state.
-- result: started, joined, or refused
-- who: the person who asks, besides the role
create or replace function provisioning.start_rollout(
    agents bigint[], version integer, templates text, canaries integer, max_failures integer, at_a_time integer,
    reason text, who text
) returns table (id bigint, state text, result text)
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off
    set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
declare
    started bigint;
    open    provisioning.rollouts;
begin
    perform provisioning.refuse_in_trigger();
    insert into provisioning.rollouts (
        template_version, templates, canaries, max_failures, at_a_time, requested_by, reason)
    values (version, left(start_rollout.templates, 100), start_rollout.canaries, start_rollout.max_failures,
        start_rollout.at_a_time, provisioning.requester(who), left(start_rollout.reason, 1000))
    on conflict do nothing
    returning rollouts.id into started;
    if started is null then
        select r.* into open from provisioning.rollouts r where r.ended_at is null;
        return query
        select open.id, open.state,
            case when open.state = 'running' and open.template_version = version
                and (open.canaries, open.max_failures, open.at_a_time) is not distinct from
                    (start_rollout.canaries, start_rollout.max_failures, start_rollout.at_a_time)
                and not exists (
                    select from unnest(start_rollout.agents) w (agent_id)
                    where not exists (select from provisioning.rollout_agents a
                                      where a.rollout = open.id and a.agent_id = w.agent_id))
            then 'joined' else 'refused' end;
        return;
    end if;
    insert into provisioning.rollout_agents (rollout, place, agent_id, agent_prefix)
    select started, row_number() over (order by min(w.place)), p.agent_id, p.agent_prefix
    from unnest(start_rollout.agents) with ordinality w (agent_id, place)
    join provisioning.agents p using (agent_id)
    group by p.agent_id, p.agent_prefix;
    perform provisioning.note_action('start', who, start_rollout.reason, null, started, null);
    perform provisioning.advance_rollouts();
    perform provisioning.notify('agent_provisioning');
    return query select r.id, r.state, 'started' from provisioning.rollouts r where r.id = started;
end $$;

-- Pauses, resumes or aborts a rollout. A pause and the end take back what no worker is on; after a pause it is queued again.
-- No row: there is no such rollout.
-- wanted: running, paused or aborted
-- state: what it is now; where that is not what was wanted, the rollout was over
-- changed: whether it was anything else before
create or replace function provisioning.change_rollout(rollout bigint, wanted text, reason text, who text)
returns table (state text, changed boolean, taken_back bigint)
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off
    set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
declare
    ours  provisioning.rollouts;
    taken bigint[] := '{}';
    freed bigint := 0;
begin
    perform provisioning.refuse_in_trigger();
    if wanted is null or wanted not in ('running', 'paused', 'aborted') then
        raise exception 'no rollout becomes %', wanted using errcode = 'invalid_parameter_value';
    end if;
    select r.* into ours from provisioning.rollouts r where r.id = change_rollout.rollout for update;
    if not found then
        return;
    end if;
    if ours.state = wanted or ours.state not in ('running', 'paused') then
        return query select ours.state, false, 0::bigint;
        return;
    end if;
    if wanted <> 'running' then
        taken := array(
            select c.id from provisioning.cancel(array(
                    select a.job from provisioning.rollout_agents a
                    join provisioning.jobs j on j.id = a.job and j.state = 'pending'
                    where a.rollout = ours.id and a.result is null),
                format('rollout %s is %s', ours.id, wanted) || coalesce(': ' || change_rollout.reason, ''), who, false) c
            where c.picked);
    end if;
    if wanted = 'paused' then
        update provisioning.rollout_agents a set job = null
        where a.rollout = ours.id and a.result is null and a.job = any (taken);
        get diagnostics freed = row_count;
        if freed <> cardinality(taken) then
            raise exception 'rollout %: % jobs of % agents', ours.id, cardinality(taken), freed
                using errcode = 'internal_error';
        end if;
    end if;
    update provisioning.rollouts r
    set state = wanted, changed_by = provisioning.requester(who), changed_at = clock_timestamp(),
        change_reason = left(change_rollout.reason, 1000)
    where r.id = ours.id
    returning r.* into strict ours;
    perform provisioning.note_action(
        case wanted when 'paused' then 'pause' when 'running' then 'resume' else 'abort' end, who, change_rollout.reason,
        null, ours.id, null);
    perform provisioning.advance_rollouts();
    perform provisioning.notify('agent_provisioning');
    return query select r.state, true, cardinality(taken)::bigint from provisioning.rollouts r where r.id = ours.id;
end $$;
