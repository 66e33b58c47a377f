-- The last job of each agent that is registered.
select a.agent_id, j.id as job_id
from provisioning.agents a
cross join lateral (
    select j.id from provisioning.jobs j where j.agent_id = a.agent_id order by j.id desc limit 1
) j
