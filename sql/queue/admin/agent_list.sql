-- All agents, with what a list of very many asks of each. The agents are those of agent_view.sql, and so are the states.
-- Nothing is asked of each agent's jobs that its open jobs and its registration tell already.
-- $1 agents of which a table was renamed or moved
with living as materialized (
    select l.id, l.agent_prefix from provisioning.living_agents() l
), open as materialized (
    select j.agent_id, j.agent_prefix, j.kind from provisioning.jobs j where j.state in ('pending', 'dead', 'paused')
), known as materialized (
    select a.id as agent_id, a.agent_prefix, true as alive from living a
    union all
    select b.agent_id, b.agent_prefix, false
    from provisioning.agents b
    where not exists (select from living a where a.id = b.agent_id)
    union all
    select distinct o.agent_id, o.agent_prefix, false
    from open o
    where not exists (select from living a where a.id = o.agent_id)
      and not exists (select from provisioning.agents b where b.agent_id = o.agent_id)
), leaving as materialized (
    select distinct o.agent_id from open o where o.kind = 'deprovision'
)
select
    k.agent_prefix, k.agent_id, k.alive, b.template_version,
    case
        when how.state = 'ready' and k.agent_id = any ($1::bigint[]) then 'renamed'
        when how.state = 'ready' and drift.agent_id is not null then 'drifted'
        else how.state
    end as state,
    coalesce(to_char(b.provisioned_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), b.provisioned_at::text) as provisioned_at,
    coalesce(to_char(drift.drifted_since at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), drift.drifted_since::text)
        as drifted_since
from known k
left join provisioning.agents b on b.agent_id = k.agent_id
left join provisioning.drifted_agents drift on drift.agent_id = k.agent_id
left join leaving on leaving.agent_id = k.agent_id
-- Of an agent that is there a deletion counts while it is open. Of one that is gone the last one says why its tables are there.
left join lateral (
    select j.state, j.due_at from provisioning.jobs j
    where (leaving.agent_id is not null or not k.alive) and j.agent_id = k.agent_id and j.kind = 'deprovision'
    order by j.id desc limit 1
) deletion on true
left join lateral (
    select j.id, j.state, j.due_at from provisioning.jobs j
    where b.agent_id is null and j.agent_id = k.agent_id and j.kind = 'provision'
    order by j.id desc limit 1
) build on true
cross join lateral (
    select provisioning.agent_state(
        k.alive, b.agent_id is not null, deletion.state, build.state,
        k.alive and b.agent_id is null and exists (
            select from provisioning.job_waits w where w.job = build.id and w.earlier_state in ('dead', 'paused')),
        case
            when deletion.state = 'pending' then provisioning.no_worker(deletion.due_at)
            else k.alive and b.agent_id is null and provisioning.no_worker(build.due_at)
        end) as state
    offset 0    -- once for each agent, however often it is compared
) how
order by k.agent_prefix, k.agent_id desc
