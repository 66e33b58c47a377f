-- What goes on in this database, as one JSON object. Ages are seconds.
-- A session's name and role are everybody's to see; since when it is at a job, only those who have the worker's privileges see.
-- $1 whether to look for tables that were renamed, in the whole catalog
with live as materialized (
    select j.id, j.kind, j.agent_prefix, j.state, j.due_at, j.run_at
    from provisioning.jobs j
    where j.state in ('pending', 'dead', 'paused')
), session as materialized (
    select a.pid, a.usename::text as role, a.xact_start, a.wait_event_type = 'Lock' as waiting,
        substr(a.application_name, length('agent-provisioner job ') + 1) as job
    from pg_catalog.pg_stat_activity a
    where a.datname = current_database() and a.application_name ^@ 'agent-provisioner job '
      and provisioning.is_own_session(a.usesysid, a.application_name)
), running as (
    select l.id, l.kind, l.agent_prefix, s.pid, s.xact_start, s.waiting
    from session s join live l on l.id::text = s.job and l.state = 'pending'
), counted as (
    select case when l.state = 'pending' and exists (select from running r where r.id = l.id) then 'running' else l.state end as state,
        l.due_at
    from live l
), hour as materialized (
    select j.kind, j.state, j.outcome, j.due_at, j.finished_at
    from provisioning.jobs j
    where j.state in ('succeeded', 'cancelled') and j.finished_at > now() - interval '1 hour' and isfinite(j.finished_at) and isfinite(j.due_at)
), blocked as (
    select l.id, l.kind, l.state, l.agent_prefix, count(*) as waiting
    from live l join provisioning.job_waits w on w.earlier = l.id
    where l.state in ('dead', 'paused') and l.agent_prefix in (select p.agent_prefix from live p where p.state = 'pending')
    group by l.id, l.kind, l.state, l.agent_prefix
)
select jsonb_build_object(
    'role', current_user,
    'server_version', current_setting('server_version'),
    'read_only', case when pg_is_in_recovery() then 'standby' when current_setting('transaction_read_only') = 'on' then 'setting' end,
    'schema_version', (select max(m.version) from provisioning.migrations m),
    'instances', (
        select coalesce(jsonb_agg(jsonb_build_object(
            'host', i.host, 'pid', i.pid, 'version', i.version,
            'running', provisioning.is_current(i.seen_at),
            'started_age', case when isfinite(i.started_at) then extract(epoch from now() - i.started_at) end,
            'seen_age', case when isfinite(i.seen_at) then extract(epoch from now() - i.seen_at) end,
            -- At its first report it has heard nothing yet.
            'listening', nullif(i.state -> 'listening', case when i.started_at > now() - interval '15 seconds' then 'false'::jsonb end),
            'sweep_age', extract(epoch from now()) - nullif(nullif(nullif((i.state ->> 'last_sweep')::float8, 0), 'infinity'), '-infinity'),
            'sweeps_failed', i.state -> 'sweeps_failed',
            'found_missing', i.state -> 'found_missing',
            'found_orphaned', i.state -> 'found_orphaned'
        ) order by i.host, i.pid), '[]')
        from provisioning.instances i),
    'running', (
        select coalesce(jsonb_agg(jsonb_build_object(
            'id', r.id, 'kind', r.kind, 'prefix', r.agent_prefix, 'backend_pid', r.pid,
            'age', extract(epoch from clock_timestamp() - r.xact_start),
            'waits_for', case when r.waiting then to_jsonb(pg_blocking_pids(r.pid)) else '[]' end
        ) order by r.xact_start, r.id), '[]')
        from running r),
    'jobs', (
        select jsonb_agg(jsonb_build_object(
            'state', s.state, 'jobs', c.jobs, 'oldest_age', c.age) order by s.place)
        from unnest('{running,pending,dead,paused}'::text[]) with ordinality s (state, place)
        cross join lateral (
            select count(*) as jobs, extract(epoch from now() - min(k.due_at) filter (where isfinite(k.due_at))) as age
            from counted k where k.state = s.state
        ) c),
    'last_hour', (
        select jsonb_build_object(
            'succeeded', count(*) filter (where h.state = 'succeeded'),
            'cancelled', count(*) filter (where h.state = 'cancelled'),
            'provisioned', count(*) filter (where h.outcome = 'provisioned'),
            'ready_p50', percentile_cont(0.5) within group (order by extract(epoch from h.finished_at - h.due_at))
                filter (where h.outcome = 'provisioned'),
            'ready_p99', percentile_cont(0.99) within group (order by extract(epoch from h.finished_at - h.due_at))
                filter (where h.outcome = 'provisioned'))
        from hour h),
    'blocked', (
        select coalesce(jsonb_agg(jsonb_build_object(
            'prefix', b.agent_prefix, 'job', b.id, 'kind', b.kind, 'state', b.state, 'waiting', b.waiting
        ) order by b.id), '[]')
        from blocked b),
    'verify_age', (select extract(epoch from now() - v.taken_at) from provisioning.verify_turn v where isfinite(v.taken_at)),
    'drifted', (select count(*) from provisioning.drifted_agents),
    'displaced', (select count(distinct d.agent_id) from provisioning.displaced_tables d where $1),
    'trash', (
        select jsonb_build_object('agents', count(*), 'next_purge', extract(epoch from min(t.purge_at) filter (where isfinite(t.purge_at)) - now()),
            'held', exists (select from provisioning.purge_holds h where h.released_at is null))
        from provisioning.trash t),
    'templates', (
        select coalesce(jsonb_agg(jsonb_build_object('version', v.version, 'agents', v.agents) order by v.version), '[]')
        from (select a.template_version as version, count(*) as agents from provisioning.agents a group by 1) v),
    'newest_template', (select max(t.version) from provisioning.templates t)
)::text as status
