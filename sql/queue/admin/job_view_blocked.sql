-- Dead and paused jobs that hold up others of their prefix.
-- $1 prefix, a pattern of LIKE; null is any
select d.id, d.kind, d.state, d.agent_prefix, count(*) as waiting
from provisioning.jobs d
join provisioning.job_waits w on w.earlier = d.id
where d.state in ('dead', 'paused') and ($1 is null or d.agent_prefix like $1)
group by d.id
order by d.id
