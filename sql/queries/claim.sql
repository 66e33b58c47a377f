-- The oldest due job with nothing before it, locked until the transaction ends.
-- Head of line: an earlier pending or dead job of the same prefix holds up what comes after it.
-- A deprovision does not wait for its own agent's other jobs; it cancels them.
-- Only so many of the oldest due jobs are looked at, however many stand behind one dead job; where
-- none of them will do, next_due.sql says which to look at instead.
-- $1: the kinds this worker takes now; unknown ones wait for a newer program
-- $2: jobs to look at, null for the oldest
-- $3: the schema it knows; on a newer one it takes nothing more on
-- $4: its template version; upgrades beyond it wait for a worker that has the files
with head as materialized (
    select j.*
    from (
        select n.id, n.priority, n.run_at
        from provisioning.jobs n
        where n.state = 'pending'
          and n.run_at <= now()
          and n.kind = any ($1)
          and not (n.kind = 'upgrade' and n.argument ~ '^[0-9]{1,9}$' and n.argument::int > $4)
          and ($2::bigint[] is null or n.id = any ($2))
          and not exists (select from provisioning.migrations m where m.version > $3)
        order by n.priority, n.run_at, n.id
        limit 32
    ) near
    join provisioning.jobs j on j.id = near.id
    where j.state = 'pending'
      and j.run_at <= now()
      -- The first open job of the prefix, by the only index in this order, whatever the statistics
      -- say: a probe for "an earlier one" may be planned as a scan of all jobs.
      and (
          select e.agent_prefix = j.agent_prefix and e.id < j.id
          from provisioning.jobs e
          where e.state in ('pending', 'dead')
            and e.agent_prefix >= j.agent_prefix
            and not (j.kind = 'deprovision' and e.agent_id = j.agent_id)
          order by e.agent_prefix, e.id
          limit 1
      ) is not true
    order by near.priority, near.run_at, near.id
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
    h.confirmed,
    -- Its agent is to go: building would be for nothing.
    exists (
        select from provisioning.jobs d
        where d.agent_id = h.agent_id and d.kind = 'deprovision' and d.state = 'pending' and d.id > h.id
    ) as superseded,
    -- Whose tables the prefix stands for now.
    r.agent_id as registered,
    r.template_version,
    r.reference,
    -- Whether another worker would find something, too.
    exists (
        select from provisioning.jobs m
        where m.state = 'pending' and m.run_at <= now() and m.kind = any ($1) and m.id <> h.id
    ) as more,
    -- Shows a DBA in pg_stat_activity what this transaction is doing.
    set_config('application_name', 'agent-provisioner job ' || h.id, true)
from head h
left join lateral (
    -- Those whose deletion somebody cancelled are nobody's: they are in the way, and stay.
    select a.agent_id, a.template_version, a.reference from provisioning.agents a
    where a.agent_prefix = h.agent_prefix
      and (a.agent_id = h.agent_id or not exists (
          select from provisioning.jobs k
          where k.agent_id = a.agent_id and k.kind = 'deprovision' and k.state = 'cancelled'))
) r on true
