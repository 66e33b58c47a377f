-- The agents of a rollout that have failed, by their jobs.
-- $1 rollout
select a.job as id, a.result as state, a.agent_prefix,
    case when j.state = 'dead' then j.last_error end as error, false as disk_full
from provisioning.rollout_agents a
left join provisioning.jobs j on j.id = a.job
where a.rollout = $1 and a.result in ('dead', 'blocked')
order by a.job
