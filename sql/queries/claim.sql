-- The oldest due job with nothing before it, locked until the transaction ends.
-- Head of line: an earlier pending or dead job of the same prefix holds up what comes after it.
-- A deprovision does not wait for its own agent's other jobs; it cancels them.
-- $1: the kinds this program knows; others wait for a newer one.
with head as materialized (
    select j.*
    from provisioning.jobs j
    where j.state = 'pending'
      and j.run_at <= now()
      and j.kind = any ($1)
      and not exists (
          select from provisioning.jobs e
          where e.agent_prefix = j.agent_prefix
            and e.id < j.id
            and e.state in ('pending', 'dead')
            and not (j.kind = 'deprovision' and e.agent_id = j.agent_id)
      )
    order by j.priority, j.run_at, j.id
    limit 1
    for update of j skip locked
)
select
    h.id,
    h.kind,
    h.agent_id,
    h.agent_prefix,
    h.user_id::text as user_id,
    h.attempts,
    h.argument,
    -- Its agent is to go: building would be for nothing.
    exists (
        select from provisioning.jobs d
        where d.agent_id = h.agent_id and d.kind = 'deprovision' and d.state = 'pending' and d.id > h.id
    ) as superseded,
    -- Whose tables the prefix stands for now. Those whose deletion somebody cancelled are nobody's:
    -- they are in the way, and stay.
    (
        select a.agent_id from provisioning.agents a
        where a.agent_prefix = h.agent_prefix
          and (a.agent_id = h.agent_id or not exists (
              select from provisioning.jobs k
              where k.agent_id = a.agent_id and k.kind = 'deprovision' and k.state = 'cancelled'))
    ) as registered,
    -- Shows a DBA in pg_stat_activity what this transaction is doing.
    set_config('application_name', 'agent-provisioner job ' || h.id, true)
from head h
