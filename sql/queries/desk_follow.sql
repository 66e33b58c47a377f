-- What has become of jobs; `blocked`: pending behind a dead or paused one (as in
-- provisioning.due), so it will stay.
-- $1 ids
select
    j.id,
    case
        when j.state = 'pending' and exists (
            select from provisioning.jobs e
            where e.agent_prefix = j.agent_prefix
              and e.id < j.id
              and e.state in ('dead', 'paused')
              and not (j.kind = 'deprovision' and j.agent_id = (
                  select h.agent_id from provisioning.jobs h
                  where h.agent_prefix = j.agent_prefix and h.state in ('pending', 'dead', 'paused') order by h.id limit 1))
        ) then 'blocked'
        else j.state
    end as state,
    case when j.state in ('dead', 'paused') then j.last_error end as error
from provisioning.jobs j
where j.id = any ($1)
order by j.id
