-- What has become of jobs; `blocked`: pending behind a dead or paused one, so it will stay.
-- $1 ids
select
    j.id,
    case
        when exists (
            select from provisioning.job_waits w where w.job = j.id and w.earlier_state in ('dead', 'paused')
        ) then 'blocked'
        else j.state
    end as state,
    case when j.state in ('dead', 'paused') then j.last_error end as error,
    j.state = 'pending' and coalesce(j.last_sqlstate = '53100', false) as disk_full
from provisioning.jobs j
where j.id = any ($1)
order by j.id
