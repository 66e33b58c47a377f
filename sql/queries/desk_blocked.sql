-- Dead and paused jobs that hold up others of their prefix (as in provisioning.due).
-- $1 prefix; null is any
select d.id, d.kind, d.state, d.agent_prefix, count(*) as waiting
from provisioning.jobs d
join provisioning.jobs w
    on w.agent_prefix = d.agent_prefix
    and w.id > d.id
    and w.state = 'pending'
    and not (w.kind = 'deprovision' and w.agent_id = (
        select h.agent_id from provisioning.jobs h
        where h.agent_prefix = w.agent_prefix and h.state in ('pending', 'dead', 'paused') order by h.id limit 1))
where d.state in ('dead', 'paused') and ($1 is null or d.agent_prefix = $1)
group by d.id
order by d.id
