-- What is written to the queue and to the registry of agents, as functions.
--
-- The worker's role has no right to write these tables. Whoever knows its password can ask for what these
-- functions do, and they keep the rules of the queue. A job's kind, agent, prefix and user never change. Only a
-- pending job is settled. A deletion comes from a trigger, from provisioning.enqueue_or_replay, or from a proof
-- here that the agent is gone. Only the owner of the schema and the console's role confirm a deletion.
--
-- A definer runs in the caller's transaction, so a claim and what follows it share their locks. Where row security
-- would hide a row from the owner (it is forced), these functions raise and do nothing.

-- Plans are kept for a session, as in 60_claim.sql: `state || ''` keeps what is looked up by id off the partial indexes.

-- Who calls a definer, for the record: the role, and the person behind it. At most 170 characters.
create or replace function provisioning.requester(who text) returns text
    language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce(nullif(current_setting('role'), 'none'), session_user) || coalesce(' (' || left(who, 100) || ')', '')
$$;

-- Writes down what a person has done. Not granted: definers call it.
-- who: besides the role
create or replace function provisioning.note_action(
    action text, who text, reason text, jobs bigint[], rollout bigint, finding text
) returns void
    language sql set search_path = pg_catalog, pg_temp as $$
    insert into provisioning.actions (done_by, action, reason, jobs, job_count, rollout, finding)
    values (provisioning.requester(who), note_action.action, left(note_action.reason, 1000), coalesce((note_action.jobs)[1:100], '{}'),
        coalesce(cardinality(note_action.jobs), 0), note_action.rollout, note_action.finding)
$$;

-- Whether a role may confirm deletions: it has the rights of the owner of the schema, or it is the console's. The console
-- lets only those of its viewers ask who may act.
create or replace function provisioning.is_operator(role name) returns boolean
    language sql stable set search_path = pg_catalog, pg_temp as $$
    select pg_has_role(is_operator.role, c.relowner, 'usage') or is_operator.role = 'agent_console'
    from pg_class c where c.oid = 'provisioning.jobs'::regclass
$$;

create or replace function provisioning.require_operator() returns void
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform provisioning.refuse_in_trigger();
    if provisioning.is_operator(coalesce(nullif(current_setting('role'), 'none'), session_user)) is not true then
        raise exception 'permission denied: this is for an operator' using errcode = 'insufficient_privilege';
    end if;
end $$;

-- Records how an attempt at a job ended. Whose it was is in the settings provisioning.host and provisioning.pid of the
-- transaction. Not granted: definers call it, under their settings.
-- seconds: how long it took
-- error: as in record_failure, and with the key ago: so many seconds ago it ended
create or replace function provisioning.note_attempt(
    job bigint, result text, seconds double precision, outcome text, error jsonb
) returns void
    language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    worker_host constant text := left(nullif(current_setting('provisioning.host', true), ''), 255);
    worker_pid  constant integer := substring(current_setting('provisioning.pid', true) from '^[0-9]{1,9}$')::integer;
    took        constant interval := seconds * interval '1 second';
    ended       constant timestamptz := clock_timestamp()
                                        - coalesce((error ->> 'ago')::double precision, 0) * interval '1 second';
    last        provisioning.attempts;
begin
    select a.* into last from provisioning.attempts a
    where a.job = note_attempt.job
    order by a.number desc
    limit 1;
    if note_attempt.result = 'gave_way' and last.result = 'gave_way'
        and (last.host, last.pid, last.error_code, last.sqlstate) is not distinct from
            (worker_host, worker_pid, error ->> 'code', left(error ->> 'sqlstate', 5))
    then
        update provisioning.attempts a
        set times = a.times + 1, ended_at = ended, duration = took, error = left(note_attempt.error ->> 'text', 2000)
        where a.job = last.job and a.number = last.number;
    else
        insert into provisioning.attempts (
            job, number, result, started_at, ended_at, duration, host, pid, outcome, error, error_code, sqlstate)
        values (note_attempt.job, coalesce(last.number, 0) + 1, note_attempt.result, ended - took, ended, took, worker_host,
            worker_pid, note_attempt.outcome, left(note_attempt.error ->> 'text', 2000), note_attempt.error ->> 'code',
            left(note_attempt.error ->> 'sqlstate', 5));
    end if;
end $$;

-- Records that a claimed job is done. A deletion is done when its agent is neither registered nor in public.agents.
-- What is known of an earlier deletion of an agent that was put back under its id is forgotten: the agent
-- may have another owner by now.
create or replace function provisioning.settle(job bigint, outcome text, seconds double precision) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off
    set enable_seqscan = off as $$
#variable_conflict use_column
declare
    settled provisioning.jobs;
    holds   boolean := true;
begin
    select j.* into settled from provisioning.jobs j
    where j.id = settle.job and j.state || '' = 'pending'
    for update;
    if not found then
        raise exception 'job % is not pending', settle.job using errcode = 'object_not_in_prerequisite_state';
    end if;
    if settled.kind = 'deprovision' and settle.outcome = 'superseded' then
        holds := settled.unreported;
    elsif settled.kind = 'deprovision' then
        holds := not exists (select from provisioning.agents p where p.agent_id = settled.agent_id)
            and not exists (select from provisioning.leaving_agent(settled.agent_id) l where l.present);
    end if;
    if holds is not true then
        raise exception 'the deletion of agent % is not done', settled.agent_id
            using errcode = 'object_not_in_prerequisite_state';
    end if;
    perform provisioning.note_attempt(settle.job, 'succeeded', settle.seconds, settle.outcome, null);
    update provisioning.jobs j
    set state = 'succeeded', outcome = settle.outcome, finished_at = clock_timestamp(),
        duration = settle.seconds * interval '1 second'
    where j.id = settle.job;
    if settled.kind = 'deprovision' and settle.outcome <> 'superseded' then
        delete from provisioning.deleted_agents d where d.agent_id = settled.agent_id;
    end if;
    if settled.kind = 'provision' and settle.outcome in ('provisioned', 'unchanged') then
        delete from provisioning.deleted_agents d
        where d.agent_id = settled.agent_id and d.deleted_at < settled.created_at;
    end if;
end $$;

-- Records that the first part of a claimed deletion is done. The limits are not asked again.
create or replace function provisioning.begin_deletion(job bigint) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off
    set enable_seqscan = off as $$
begin
    update provisioning.jobs j set keys_removed = true
    where j.id = job and j.kind = 'deprovision' and j.state || '' = 'pending';
    if not found then
        raise exception 'job % is no pending deletion', job using errcode = 'object_not_in_prerequisite_state';
    end if;
end $$;

-- Records that a claimed repair has done what was confirmed: what it finds from then on follows from that.
create or replace function provisioning.begin_repair(job bigint) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off
    set enable_seqscan = off as $$
begin
    update provisioning.jobs j set plan_begun = true
    where j.id = job and j.kind = 'repair' and j.state || '' = 'pending';
    if not found then
        raise exception 'job % is no pending repair', job using errcode = 'object_not_in_prerequisite_state';
    end if;
end $$;

-- Cancels what a claimed deletion makes pointless: its agent's earlier open jobs.
create or replace function provisioning.cancel_earlier(job bigint) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off
    set enable_seqscan = off as $$
declare
    leaving bigint;
begin
    select j.agent_id into leaving from provisioning.jobs j
    where j.id = job and j.kind = 'deprovision' and j.state || '' = 'pending';
    if not found then
        raise exception 'job % is no pending deletion', job using errcode = 'object_not_in_prerequisite_state';
    end if;
    update provisioning.jobs j
    set state = 'cancelled', finished_at = clock_timestamp(), outcome = 'superseded by job ' || job
    where j.agent_id = leaving and j.id < job and j.state || '' in ('pending', 'dead', 'paused');
end $$;

-- Records a failed attempt, if the job is still as it was claimed. How often it gave way by now; null where it is not.
-- In the claim's own transaction it always is. After a lost connection the attempt may have been
-- committed after all, or another worker may have failed since: then nothing changes. While another
-- worker has it this waits, and is tried again, so a job that ends every connection it is tried on
-- does run out of attempts.
-- claimed: attempts as claimed
-- used: attempts to add
-- state: from now on
-- wait: seconds until the next attempt
-- gave_way: whether it gave way to a lock
-- wanted: the lock on shared tables that was not to be had
-- waited: whether it waited for that in vain
-- error: in parts, an object with the keys text, sqlstate, code, file, line, statement, detail, hint, relations and ago.
--   What is too long is cut off: whoever knows the worker's password calls this.
create or replace function provisioning.record_failure(
    job bigint, claimed integer, used integer, state text, wait double precision,
    seconds double precision, gave_way boolean, wanted text, waited boolean, error jsonb
) returns integer
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off
    set enable_seqscan = off as $$
#variable_conflict use_column
declare
    times integer;
begin
    if record_failure.state not in ('pending', 'dead', 'paused') or used not in (0, 1) then
        raise exception 'no failed job becomes %', record_failure.state using errcode = 'invalid_parameter_value';
    end if;
    update provisioning.jobs j
    set attempts = j.attempts + used,
        state = record_failure.state,
        finished_at = case when record_failure.state <> 'pending' then clock_timestamp() end,
        run_at = case
            when wanted is not null then provisioning.lock_run_at(wanted, waited)
            -- Each try holds up whoever uses the agent's tables for as long as it waits.
            when gave_way then clock_timestamp() + least(60, wait * power(1.5, least(j.give_ways, 20))) * interval '1 second'
            else clock_timestamp() + wait * interval '1 second'
        end,
        give_ways = j.give_ways + gave_way::int,
        lock_wanted = coalesce(wanted, case when gave_way then 'own tables' end),
        last_error = left(error ->> 'text', 20000),
        last_sqlstate = left(error ->> 'sqlstate', 5),
        last_error_code = error ->> 'code',
        last_error_file = left(error ->> 'file', 255),
        last_error_line = (error ->> 'line')::integer,
        last_error_statement = left(error ->> 'statement', 1000),
        last_error_detail = left(error ->> 'detail', 8000),
        last_error_hint = left(error ->> 'hint', 2000),
        last_error_relations = (
            select array_agg(left(r.name, 300) order by r.place)
            from jsonb_array_elements_text(error -> 'relations') with ordinality r (name, place)
            where r.place <= 100),
        duration = seconds * interval '1 second'
    where j.id = job and j.state || '' = 'pending' and j.attempts = claimed
    returning j.give_ways into times;
    if found then
        perform provisioning.note_attempt(
            record_failure.job,
            case when record_failure.state = 'paused' then 'paused'
                when used = 0 and record_failure.state = 'pending' then 'gave_way' else 'failed' end,
            seconds, null, error);
    end if;
    return times;
end $$;

-- Whether no transaction holds a job: the one that had claimed it is over.
create or replace function provisioning.is_free(job bigint) returns boolean
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
begin
    perform from provisioning.jobs j where j.id = job for key share skip locked;
    return found;
end $$;

-- Queues jobs of one kind for registered agents, in the order given, and tells workers. Where such a job is
-- pending or dead already, that one does: it is due now and learns what is wanted, unless a worker
-- is on it. Their ids. Never a deletion. Not granted: definers call it.
-- force, template_version, reference: what is wanted of a repair, an upgrade, a conversion
-- who: the person who asks, besides the role
-- plans: of repairs, for each agent the checksum of what may run
create or replace function provisioning.queue_jobs(
    kind text, agents bigint[], force boolean, template_version integer, reference text, who text, priority smallint,
    plans text[]
)
returns table (id bigint, told bigint)
    language plpgsql set search_path = pg_catalog, pg_temp set row_security = off
    set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
declare
    requester constant text := provisioning.requester(who);
begin
    if queue_jobs.kind is null or queue_jobs.kind not in ('repair', 'upgrade', 'convert') then
        raise exception 'nobody may queue a % like this', queue_jobs.kind using errcode = 'insufficient_privilege';
    end if;
    return query
    with open as materialized (
        select distinct on (j.agent_id) j.agent_id, j.id
        from provisioning.jobs j
        where j.kind = queue_jobs.kind and j.state in ('pending', 'dead') and j.agent_id = any (queue_jobs.agents)
        order by j.agent_id, j.state desc, j.id
    ), free as materialized (
        select j.id from provisioning.jobs j join open using (id)
        where j.state in ('pending', 'dead')
        for update of j skip locked
    ), revived as (
        update provisioning.jobs j
        -- A plan that was shown is one with force, or one without.
        set force = j.force and plans is null or coalesce(queue_jobs.force, false),
            template_version = coalesce(queue_jobs.template_version, j.template_version),
            reference = coalesce(queue_jobs.reference, j.reference),
            plan = plans[array_position(queue_jobs.agents, j.agent_id)], plan_begun = false,
            requested_by = requester, state = 'pending', finished_at = null, run_at = now(), attempts = 0,
            due_at = case j.state when 'dead' then now() else j.due_at end
        from free f
        where f.id = j.id
    ), queued as (
        insert into provisioning.jobs (
            kind, agent_id, agent_prefix, user_id, force, template_version, reference, plan, requested_by, priority)
        select queue_jobs.kind, p.agent_id, p.agent_prefix, p.user_id, coalesce(queue_jobs.force, false),
            queue_jobs.template_version, queue_jobs.reference, plans[w.place], requester, queue_jobs.priority
        from unnest(queue_jobs.agents) with ordinality w (agent_id, place)
        join provisioning.agents p using (agent_id)
        where not exists (select from open o where o.agent_id = p.agent_id)
        order by w.place
        on conflict (agent_id, kind) where state = 'pending' do nothing
        returning id
    ), told as materialized (
        select provisioning.notify('agent_provisioning') from (select from queued union select from free limit 1) q
    )
    select j.id, (select count(*) from told)
    from (select o.id from open o union all select q.id from queued q) j
    order by 1;
end $$;

-- The same for whoever may call it, written down as what a person has done.
create or replace function provisioning.enqueue(
    kind text, agents bigint[], force boolean, template_version integer, reference text, who text, priority smallint,
    plans text[] default null
)
returns table (id bigint, told bigint)
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
#variable_conflict use_column
declare
    queued bigint[];
begin
    queued := array(
        select q.id from provisioning.queue_jobs(
            enqueue.kind, enqueue.agents, enqueue.force, enqueue.template_version, enqueue.reference, enqueue.who,
            enqueue.priority, enqueue.plans) q);
    if cardinality(queued) > 0 then
        perform provisioning.note_action(enqueue.kind, enqueue.who, null, queued, null, null);
    end if;
    return query select q.id, 1::bigint from unnest(queued) q (id);
end $$;

-- Queues repairs that run what was shown and nothing else, and no difference is taken away by force.
-- plans: for each agent the checksum of its statements
create or replace function provisioning.repair_as_shown(agents bigint[], plans text[], reason text, who text)
returns table (id bigint)
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
#variable_conflict use_column
declare
    queued bigint[];
begin
    perform provisioning.refuse_in_trigger();
    if cardinality(agents) is distinct from cardinality(plans) or array_position(plans, null) is not null then
        raise exception 'each agent needs the plan that was shown' using errcode = 'invalid_parameter_value';
    end if;
    queued := array(
        select q.id from provisioning.queue_jobs('repair', agents, false, null, null, who, 10::smallint, plans) q);
    if cardinality(queued) > 0 then
        perform provisioning.note_action('repair', who, reason, queued, null, null);
    end if;
    return query select q.id from unnest(queued) q (id);
end $$;

-- Queues the restore of an item of the trash; its job. Where one of the agent is pending or dead already, that one does. An
-- operator's: is_operator. Null: there is no such item, or a worker is on that job.
create or replace function provisioning.request_restore(item bigint, reason text, who text) returns bigint
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
#variable_conflict use_column
declare
    kept   provisioning.trash;
    queued bigint;
begin
    perform provisioning.require_operator();
    select t.* into kept from provisioning.trash t where t.id = request_restore.item;
    if not found then
        return null;
    end if;
    if provisioning.is_moved_item(kept.id) then
        raise exception 'agent % was moved to another database', kept.agent_prefix
            using errcode = 'object_not_in_prerequisite_state',
                  hint = format('Move it back from there. Or, if that database does not serve it any more: '
                      'agent-provisioner agents restore %s --item %s --moved', kept.agent_prefix, kept.id);
    end if;
    perform provisioning.require_free_place(kept.agent_prefix, kept.agent_id, 'Delete that agent first.');
    if exists (select from provisioning.jobs j
               where j.agent_id = kept.agent_id and j.kind = 'restore' and j.state in ('pending', 'dead')) then
        update provisioning.jobs j
        set trash_item = kept.id, requested_by = provisioning.requester(who), state = 'pending', finished_at = null,
            run_at = now(), attempts = 0, due_at = case j.state when 'dead' then now() else j.due_at end
        where j.id = (
            select o.id from provisioning.jobs o
            where o.agent_id = kept.agent_id and o.kind = 'restore' and o.state in ('pending', 'dead')
            order by o.state desc, o.id limit 1 for update skip locked)
        returning j.id into queued;
    else
        insert into provisioning.jobs (kind, agent_id, agent_prefix, user_id, trash_item, requested_by, priority)
        values ('restore', kept.agent_id, kept.agent_prefix, kept.user_id, kept.id, provisioning.requester(who), 10)
        on conflict (agent_id, kind) where state = 'pending' do nothing
        returning jobs.id into queued;
    end if;
    if queued is not null then
        perform provisioning.note_action('restore', who, reason, array[queued], null, null);
        perform provisioning.notify('agent_provisioning');
    end if;
    return queued;
end $$;

-- Has the service purge an item of the trash at its next sweep; whether there is such an item. An operator's: is_operator. At
-- most ten an hour, whoever asks: what has left the trash is gone.
create or replace function provisioning.request_purge(item bigint, reason text, who text) returns boolean
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
begin
    perform provisioning.require_operator();
    -- One at a time: each sees what the last one has counted.
    lock table provisioning.limit_gate in exclusive mode;
    if (select count(*) from provisioning.actions a
        where a.action = 'purge' and a.done_at > now() - interval '1 hour') >= 10 then
        raise exception 'ten items of the trash were purged within the hour'
            using errcode = 'configuration_limit_exceeded',
                  hint = 'Wait, or as the owner of schema provisioning: agent-provisioner agents purge --item ITEM';
    end if;
    update provisioning.trash t set purge_at = now() where t.id = request_purge.item;
    if found then
        perform provisioning.note_action(
            'purge', who, concat(format('item %s: ', request_purge.item), reason), null, null, null);
    end if;
    return found;
end $$;

-- Queues jobs for what no trigger reported: agents without tables, and tables without an agent. How many; no row
-- while another sweep or an adoption is under way.
-- A dead, paused or cancelled job is somebody's decision to take, so it counts as reported.
-- Who exists is asked by living_agents, which raises where row security would hide a row: then nothing is
-- queued. The snapshot is taken behind the lock, so what the last holder added is seen.
create or replace function provisioning.reconcile() returns table (missing bigint, orphaned bigint)
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off
    set plan_cache_mode = force_custom_plan as $$
begin
    perform provisioning.require_present();
    begin
        lock table provisioning.sweep_gate in exclusive mode nowait;
    exception when lock_not_available then
        return;
    end;
    return query
    with living as materialized (
        select l.id, l.agent_prefix, l.user_id from provisioning.living_agents() l
    ), unbuilt as (
        insert into provisioning.jobs (kind, agent_id, agent_prefix, user_id, unreported)
        select 'provision', l.id, l.agent_prefix, l.user_id, true
        from living l
        where not exists (select from provisioning.agents p where p.agent_id = l.id)
          and not exists (
              select from provisioning.jobs j
              where j.agent_id = l.id
                and j.kind in ('provision', 'deprovision')
                and j.state <> 'succeeded'
          )
        order by l.id
        on conflict (agent_id, kind) where state = 'pending' do nothing
        returning 1
    ), abandoned as (
        insert into provisioning.jobs (kind, agent_id, agent_prefix, unreported)
        select 'deprovision', p.agent_id, p.agent_prefix, not exists (
            select from provisioning.deleted_agents d where d.agent_id = p.agent_id)
        from provisioning.agents p
        where not exists (select from living l where l.id = p.agent_id)
          and not exists (
              select from provisioning.jobs j
              where j.agent_id = p.agent_id and j.kind = 'deprovision' and j.state <> 'succeeded'
          )
        order by p.agent_id
        on conflict (agent_id, kind) where state = 'pending' do nothing
        returning 1
    )
    select (select count(*) from unbuilt), (select count(*) from abandoned);
    perform provisioning.add_agent_states();
end $$;

-- Puts dead or paused jobs back into the queue, each in its old place: per prefix the order is that of the ids. A pending
-- one, where those are meant, is due now.
-- Of an agent's jobs of one kind a single one may be pending. The others stay dead and come back
-- with the twin that goes first: the latest deprovision, because it cancels the rest, and the
-- earliest of any other kind, because the rest waits for it.
-- With that an operator (is_operator) confirms a paused deletion, and a deletion whose id is given. He may also take
-- up a cancelled deletion, while the agent's row is gone and its tables are there. Nobody else puts
-- a paused or cancelled deletion back; what others put back stays unconfirmed.
-- A pending job behind a dead or paused one stays as it is: it could not run. Unless that one goes back by the same call.
-- ids, prefix: both null: every job in those states
-- states: those that are meant: dead, paused, pending
-- who: besides the role
-- named: a person has given these ids. False: a filter has found them, and nothing is confirmed by that
create or replace function provisioning.replay(
    ids bigint[], prefix text, states text[], reason text, who text, dry_run boolean, named boolean default true
) returns table (
    id bigint, kind text, agent_prefix text, state text, attempts integer, twin bigint, twin_state text, behind bigint,
    picked boolean, told bigint
)
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off
    set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
declare
    caller   constant name := coalesce(nullif(current_setting('role'), 'none'), session_user);
    operator constant boolean := provisioning.is_operator(caller);
    meant    constant text[] := case when operator then array(select unnest(states) intersect values ('dead'), ('paused'), ('pending'))
                                     else array(select unnest(states) intersect values ('dead'), ('pending')) end;
begin
    perform provisioning.refuse_in_trigger();
    if not operator and (array['paused'] = states or exists (
        select from provisioning.jobs j where j.id = any (ids) and j.state = 'paused'))
    then
        raise exception 'permission denied to approve a deletion'
            using errcode = 'insufficient_privilege', constraint = 'approval',
                  hint = format('Run this as %I, the owner of schema provisioning.', current_user);
    end if;
    return query
    with asked as materialized (
        select j.id, j.kind, j.agent_prefix, j.state, j.attempts, f.fits, t.id as twin, t.state as twin_state, b.id as behind
        from provisioning.jobs j
        left join lateral (
            select t.id, t.state
            from (
                -- `offset` keeps the partial indexes out: with old statistics all of one is read per job.
                select o.id, o.state
                from provisioning.jobs o
                where o.agent_id = j.agent_id and o.kind = j.kind and o.id <> j.id
                offset 0
            ) t
            where j.state = 'dead'
              and (t.state in ('pending', 'paused')
                   or t.state = 'dead' and (t.id > j.id) = (j.kind = 'deprovision'))
            order by t.state desc, case when j.kind = 'deprovision' then -t.id else t.id end
            limit 1
        ) t on true
        cross join lateral (
            select (j.state = any (meant)
                or operator and named and 'dead' = any (meant) and j.id = any (ids)
                and j.state = 'cancelled' and j.kind = 'deprovision'
                and exists (select from provisioning.agents b where b.agent_id = j.agent_id)
                and not exists (select from provisioning.living_agents(array[j.agent_id]))
                and not exists (select from provisioning.jobs o
                                where o.agent_id = j.agent_id and o.kind = j.kind
                                  and (o.id > j.id or o.state in ('pending', 'paused', 'dead'))))
                and not (j.state = 'paused' and provisioning.is_held_by_move(j.id)) as fits
        ) f
        left join lateral (
            select w.earlier as id
            from provisioning.job_waits w
            where j.state = 'pending' and w.job = j.id and w.earlier_state in ('dead', 'paused')
              and not (w.earlier_state = any (meant) and coalesce(w.earlier = any (ids), false))
            order by w.earlier
            limit 1
        ) b on true
        where j.id = any (ids)
           or ids is null and j.state = any (meant) and (prefix is null or j.agent_prefix = prefix)
    ), picked as materialized (
        -- Skips what a worker holds: it is cancelling that very job.
        select j.id
        from provisioning.jobs j join asked a on a.id = j.id
        where j.state = a.state and j.attempts = a.attempts and a.fits and a.twin is null and a.behind is null
        for update of j skip locked
    ), replayed as (
        update provisioning.jobs j
        set state = 'pending', run_at = now(), finished_at = null, outcome = null,
            attempts = case j.state when 'pending' then j.attempts else 0 end,
            due_at = case j.state when 'pending' then j.due_at else now() end,
            replayed_by = provisioning.requester(who), replayed_at = now(), replay_reason = left(reason, 1000),
            deletion_confirmed = j.deletion_confirmed
                or operator and j.kind = 'deprovision' and (ids is not null and named or j.state = 'paused')
        from picked p
        where p.id = j.id and not dry_run
        returning j.id
    ), noted as materialized (
        select provisioning.note_action(d.action, who, reason, array_agg(d.id order by d.id), null, null)
        from (select r.id, case a.state when 'paused' then 'approve' when 'pending' then 'retry' else 'replay' end as action
              from replayed r join asked a on a.id = r.id) d
        group by d.action
    ), told as materialized (
        select provisioning.notify('agent_provisioning') from (select from noted having count(*) > 0) r
    )
    select
        coalesce(a.id, m.id), a.kind, a.agent_prefix, a.state, a.attempts, a.twin, a.twin_state, a.behind,
        -- Not a join: without statistics on a CTE that is a loop within a loop.
        coalesce(a.id in (select p.id from picked p), false),
        (select count(*) from told)
    from asked a
    full join (select distinct n.id from unnest(ids) n (id)) m on m.id = a.id
    order by 1;
end $$;

-- Takes open jobs out of the queue for good. What they held up is then free, so workers are told.
-- who: besides the role
create or replace function provisioning.cancel(ids bigint[], reason text, who text, dry_run boolean)
returns table (
    id bigint, kind text, agent_prefix text, state text, attempts integer, picked boolean, told bigint
)
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off
    set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
declare
    requester constant text := provisioning.requester(who);
begin
    perform provisioning.refuse_in_trigger();
    return query
    with picked as materialized (
        -- Skips what a worker is on. State and attempts as they are when the row is locked.
        select j.id, j.state, j.attempts
        from provisioning.jobs j
        where j.id = any (ids) and j.state in ('pending', 'dead', 'paused')
          and not (j.state = 'paused' and provisioning.is_held_by_move(j.id))
        for update of j skip locked
    ), cancelled as (
        update provisioning.jobs j
        set state = 'cancelled', finished_at = clock_timestamp(),
            outcome = 'cancelled by ' || requester || coalesce(': ' || left(reason, 1000), '')
        from picked p
        where p.id = j.id and not dry_run
        returning j.id
    ), noted as materialized (
        select provisioning.note_action('cancel', who, reason, array_agg(c.id order by c.id), null, null)
        from cancelled c
        having count(*) > 0
    ), told as materialized (
        select provisioning.notify('agent_provisioning') from (select from noted having count(*) > 0) c
    )
    select m.id, j.kind, j.agent_prefix, coalesce(p.state, j.state), coalesce(p.attempts, j.attempts), p.id is not null, (select count(*) from told)
    from (select distinct n.id from unnest(ids) n (id)) m
    left join provisioning.jobs j on j.id = m.id
    left join picked p on p.id = m.id
    order by 1;
end $$;

-- Ends what the tables that were adopted for an agent were in the way of: its provision, and an upgrade that has failed
-- over them.
create or replace function provisioning.end_blocked(agent bigint) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
begin
    update provisioning.jobs j
    set state = 'cancelled', finished_at = clock_timestamp(), outcome = 'superseded by adoption'
    where j.agent_id = agent
      and (j.kind = 'provision' and j.state in ('pending', 'dead')
           or j.kind = 'upgrade' and j.state = 'dead' and j.last_error_code = 'relation_in_the_way')
      and exists (select from provisioning.agents p where p.agent_id = agent);
end $$;

-- Deletes one batch of finished jobs that are old enough to be forgotten.
-- Dead, paused and pending jobs stay, and so do the deletions that the deletion limit counts, and a cancelled job as
-- long as reconcile would queue it again without it: it is what remains of somebody's decision.
-- seconds: how old
-- after: the last id of the batch before
-- most: rows
create or replace function provisioning.prune(seconds double precision, after bigint, most bigint, dry_run boolean)
returns table (last bigint, count bigint)
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off
    set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
begin
    return query
    with living as materialized (
        select l.id from provisioning.living_agents() l
    ), old as materialized (
        select j.id
        from provisioning.jobs j
        where j.id > after
          and j.state in ('succeeded', 'cancelled')
          and j.finished_at < now() - seconds * interval '1 second'
          and not (
              j.kind = 'deprovision'
              and j.state = 'succeeded'
              and not j.deletion_confirmed
              and j.finished_at > now() - interval '1 hour'
          )
          and not (
              j.state = 'cancelled'
              and j.kind in ('provision', 'deprovision')
              and exists (select from living a where a.id = j.agent_id)
              and not exists (select from provisioning.agents p where p.agent_id = j.agent_id)
          )
          and not (
              j.state = 'cancelled'
              and j.kind = 'deprovision'
              and exists (select from provisioning.agents p where p.agent_id = j.agent_id)
              and not exists (select from living a where a.id = j.agent_id)
          )
        order by j.id
        limit most
    ), gone as (
        delete from provisioning.jobs j using old o where o.id = j.id and not dry_run returning j.id
    )
    select (select max(o.id) from old o),
        case when dry_run then (select count(*) from old) else (select count(*) from gone) end;
end $$;

-- Enters an agent that exists into the registry; whether it did.
create or replace function provisioning.enter_agent(agent bigint, version integer, reference text) returns boolean
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
#variable_conflict use_column
begin
    perform provisioning.require_present();
    insert into provisioning.agents (agent_id, agent_prefix, user_id, template_version, reference)
    select a.id, a.agent_prefix, a.user_id, version, enter_agent.reference
    from provisioning.peek_agent(agent) a;
    return found;
end $$;

-- Accepts a finding of doctor, or takes that back. An operator's: is_operator.
create or replace function provisioning.accept_finding(
    key text, severity text, reason text, until date, who text
) returns setof provisioning.accepted_findings
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
begin
    perform provisioning.require_operator();
    perform provisioning.note_action('accept', who, reason, null, null, key);
    return query
    insert into provisioning.accepted_findings as a (key, severity, reason, accepted_by, until)
    values (accept_finding.key, accept_finding.severity, left(accept_finding.reason, 1000), provisioning.requester(who),
        accept_finding.until)
    on conflict on constraint accepted_findings_pkey do update
    set severity = excluded.severity, reason = excluded.reason, accepted_by = excluded.accepted_by,
        accepted_at = excluded.accepted_at, until = excluded.until
    returning a.*;
end $$;

-- Whether it was accepted.
create or replace function provisioning.withdraw_finding(key text, reason text, who text) returns boolean
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
begin
    perform provisioning.require_operator();
    delete from provisioning.accepted_findings a where a.key = withdraw_finding.key;
    if found then
        perform provisioning.note_action('withdraw', who, reason, null, null, key);
    end if;
    return found;
end $$;
