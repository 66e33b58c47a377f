-- Rollouts as people see them, the latest first.
-- $1 id; null is any
-- $2 most rows
with running as materialized (
    select substring(i.settings ->> 'templates' from '^version ([0-9]{1,9}),')::integer as version
    from provisioning.instances i
    where provisioning.is_current(i.seen_at)
), shown as (
    select r.* from provisioning.rollouts r where $1::bigint is null or r.id = $1 order by r.id desc limit $2
)
select
    r.id, r.state,
    case when r.ended_at is not null then null when c.canaries > 0 then 'canary' else 'all' end as stage,
    r.template_version, r.templates, r.canaries, r.max_failures, r.at_a_time, r.requested_by, r.reason,
    coalesce(to_char(r.started_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), r.started_at::text) as started_at,
    r.changed_by, r.change_reason,
    coalesce(to_char(r.changed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), r.changed_at::text) as changed_at,
    r.stopped_after,
    coalesce(to_char(r.ended_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), r.ended_at::text) as ended_at,
    c.agents, c.succeeded, c.failed, c.cancelled, c.gone, c.queued, c.waiting,
    -- As in progress_untaken.sql.
    case when r.state = 'running' and c.queued + c.waiting > 0
            and (not row_security_active('provisioning.instances') or pg_has_role(provisioning.worker_role(), 'usage')
                or current_user = 'agent_console')
            and not exists (select from running i where i.version is null or i.version >= r.template_version)
        then c.queued + c.waiting else 0 end as untaken,
    c.disk_full
from shown r
cross join lateral (
    select count(*) as agents,
        count(*) filter (where a.result = 'succeeded') as succeeded,
        count(*) filter (where a.result in ('dead', 'blocked')) as failed,
        count(*) filter (where a.result = 'cancelled') as cancelled,
        count(*) filter (where a.result = 'gone') as gone,
        count(*) filter (where a.result is null and a.job is not null) as queued,
        count(*) filter (where a.result is null and a.job is null) as waiting,
        count(*) filter (where a.result is null and a.place <= r.canaries) as canaries,
        count(*) filter (where a.result is null and exists (
            select from provisioning.jobs j
            where j.id = a.job and j.state = 'pending' and j.last_sqlstate = '53100')) as disk_full
    from provisioning.rollout_agents a
    where a.rollout = r.id
) c
order by r.id desc
