-- What the metrics tell of queue and registry, one gauge a row.
-- Open jobs are few, and jobs_head_idx holds exactly them.
-- $1 kinds of jobs
with live as materialized (
    select j.id, j.kind, j.agent_id, j.agent_prefix, j.state, j.run_at, j.due_at
    from provisioning.jobs j
    where j.state in ('pending', 'dead', 'paused')
), waiting as materialized (
    select l.agent_prefix, l.run_at, l.due_at, before.waits, before.stuck
    from live l
    cross join lateral (
        select count(*) > 0 as waits, coalesce(bool_or(w.earlier_state in ('dead', 'paused')), false) as stuck
        from provisioning.job_waits w
        where w.job = l.id
    ) before
    where l.state = 'pending'
)
select 'jobs' as gauge, k.kind as label, s.state as state, count(l.id)::float8 as value
from unnest($1::text[]) k (kind)
cross join unnest(array['pending', 'dead', 'paused']) s (state)
left join live l on l.kind = k.kind and l.state = s.state
group by k.kind, s.state
union all
-- Since it could have run first, however often it was tried. A worker puts a job off by 10 minutes at most: who puts it off
-- by more wants it later.
select 'oldest', null, null, coalesce(extract(epoch from now() - min(due_at)), 0)::float8
from waiting
where not waits and due_at <= now() and due_at > '-infinity' and run_at < now() + interval '15 minutes'
union all
select 'instances', null, null, count(*)::float8
from provisioning.instances i where provisioning.is_current(i.seen_at)
union all
select 'blocked', null, null, count(distinct agent_prefix)::float8 from waiting where stuck
union all
select 'lock_waiters', null, null, count(*)::float8
from provisioning.jobs where state = 'pending' and lock_wanted is not null
union all
select 'lock_holder', null, null, coalesce(max(h.seconds), 0) from provisioning.lock_holders() h
union all
select 'disk_full', null, null, count(*)::float8
from provisioning.jobs where state = 'pending' and last_sqlstate = '53100'
union all
select 'purge_held', null, null, count(*)::float8 from provisioning.purge_holds where released_at is null
union all
-- Behind a session of ours that has what they want.
select 'held_up', null, null, count(distinct w.pid)::float8
from pg_catalog.pg_locks w
where not w.granted and w.pid is not null
  and (w.database is null
       or w.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database()))
  and exists (
      select from unnest(pg_blocking_pids(w.pid)) b (pid)
      join pg_catalog.pg_stat_activity a on a.pid = b.pid
      where provisioning.is_own_session(a.usesysid, a.application_name))
  and not exists (
      select from pg_catalog.pg_stat_activity a
      where a.pid = w.pid and provisioning.is_own_session(a.usesysid, a.application_name))
union all
select 'drifted', null, null, count(*)::float8 from provisioning.drifted_agents
union all
select 'agents', template_version::text, null, count(*)::float8
from provisioning.agents group by template_version
