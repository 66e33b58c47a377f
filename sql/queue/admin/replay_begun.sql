-- Which of some deletions have taken foreign keys off an agent that is still there.
-- $1 jobs
select j.id
from provisioning.jobs j
where j.id = any ($1) and j.kind = 'deprovision'
  and exists (select from provisioning.keys_off(array[j.agent_id]) o where not o.is_whole)
  and exists (select from provisioning.living_agents(array[j.agent_id]))
