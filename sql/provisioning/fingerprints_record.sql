-- Records what a comparison came to. An agent that is being changed at this moment is left out, and compared next time. So is
-- one that differed and that a job has changed since: what was found of it is no longer so.
-- Returns the agents that were not known to differ.
-- $1 agents that are as they should be, $2 their fingerprints, or null for what was not asked, $3 the fingerprints' seed, $4 agents that differ, $5 in how many ways,
-- $6 and in which, as a JSON array, $7 the versions of their rows in the registry, or null for whoever has changed them itself
with held as materialized (
    select a.agent_id, a.agent_prefix, a.xmin::text as row_version
    from provisioning.agents a
    where a.agent_id = any ($1 || $4)
    order by a.agent_id
    for share skip locked
), verified as (
    insert into provisioning.verified_agents as v (agent_id, verified_by, fingerprint, seed, verified_at)
    select h.agent_id, current_user, f.fingerprint, $3, now()
    from unnest($1, $2) f (agent_id, fingerprint)
    join held h on h.agent_id = f.agent_id
    where f.fingerprint is not null
    order by h.agent_id
    on conflict (agent_id, verified_by) do update
    set fingerprint = excluded.fingerprint, seed = excluded.seed, verified_at = excluded.verified_at
), forgotten as (
    delete from provisioning.verified_agents v where v.agent_id = any ($4) and v.verified_by = current_user
), mended as (
    delete from provisioning.drifted_agents d where d.agent_id = any ($1)
), drifted as (
    insert into provisioning.drifted_agents as d (agent_id, differences, found)
    select h.agent_id, f.differences, f.found::jsonb
    from unnest($4, $5, $6, $7) f (agent_id, differences, found, row_version)
    join held h on h.agent_id = f.agent_id and h.row_version = coalesce(f.row_version, h.row_version)
    on conflict (agent_id) do update
    set differences = excluded.differences, found = excluded.found, compared_at = now()
    returning d.agent_id, d.xmax = 0 as is_new
)
select h.agent_prefix, f.differences
from drifted d
join held h on h.agent_id = d.agent_id
join unnest($4, $5) f (agent_id, differences) on f.agent_id = d.agent_id
where d.is_new
order by h.agent_prefix
