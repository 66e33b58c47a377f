-- In what an agent differed when it was last compared.
-- $1 agent
select d.differences, d.found::text as found,
    case when isfinite(d.drifted_since) then extract(epoch from clock_timestamp() - d.drifted_since)::float8 end as since_age,
    case when isfinite(d.compared_at) then extract(epoch from clock_timestamp() - d.compared_at)::float8 end as compared_age
from provisioning.drifted_agents d
where d.agent_id = $1
