-- What the metrics tell of queue and registry, one gauge a row.
-- Open jobs are few, and jobs_head_idx holds exactly them.
with live as materialized (
    select j.id, j.kind, j.agent_id, j.agent_prefix, j.state, j.run_at
    from provisioning.jobs j
    where j.state in ('pending', 'dead', 'paused')
), waiting as materialized (
    select l.agent_prefix, l.run_at, before.waits, before.stuck
    from live l
    cross join lateral (
        select count(*) > 0 as waits, coalesce(bool_or(w.earlier_state in ('dead', 'paused')), false) as stuck
        from provisioning.job_waits w
        where w.job = l.id
    ) before
    where l.state = 'pending'
)
select 'jobs' as gauge, k.kind as label, s.state as state, count(l.id)::float8 as value
from unnest(array['provision', 'deprovision', 'upgrade', 'repair', 'convert']) k (kind)
cross join unnest(array['pending', 'dead', 'paused']) s (state)
left join live l on l.kind = k.kind and l.state = s.state
group by k.kind, s.state
union all
select 'oldest', null, null, coalesce(extract(epoch from now() - min(run_at)), 0)::float8
from waiting where not waits and run_at <= now() and run_at > '-infinity'
union all
select 'blocked', null, null, count(distinct agent_prefix)::float8 from waiting where stuck
union all
select 'lock_waiters', null, null, count(*)::float8
from provisioning.jobs where state = 'pending' and lock_wanted is not null
union all
select 'lock_holder', null, null, coalesce(max(h.seconds), 0) from provisioning.lock_holders() h
union all
select 'purge_held', null, null, count(*)::float8 from provisioning.purge_holds where released_at is null
union all
select 'agents', template_version::text, null, count(*)::float8
from provisioning.agents group by template_version
