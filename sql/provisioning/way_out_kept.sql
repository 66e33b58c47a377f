-- The former agent whose tables a prefix stands for, and the cancelled deletion that keeps them.
-- $1 prefix, $2 the agent that wants the prefix
select a.agent_id, max(k.id) as job
from provisioning.agents a
join provisioning.jobs k on k.agent_id = a.agent_id and k.kind = 'deprovision' and k.state = 'cancelled'
where a.agent_prefix = $1 and a.agent_id <> $2
group by a.agent_id
