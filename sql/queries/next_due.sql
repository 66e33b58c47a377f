-- Seconds until the next job can be claimed: null for never, negative when another worker holds it.
select extract(epoch from min(j.run_at) - clock_timestamp())::float8
from provisioning.jobs j
where j.state = 'pending'
  and j.kind = any ($1)
  and not exists (
      select from provisioning.jobs e
      where e.agent_prefix = j.agent_prefix
        and e.id < j.id
        and e.state in ('pending', 'dead')
        and not (j.kind = 'deprovision' and e.agent_id = j.agent_id)
  )
