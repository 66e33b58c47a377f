-- One batch of finished jobs that are old enough to be forgotten.
-- Dead, paused and pending jobs stay, and so do the deletions that the deletion limit counts, and a cancelled job as long as reconcile.sql would queue it
-- again without it: it is what remains of somebody's decision.
-- $1 seconds, $2 the last id of the batch before, $3 most rows, $4 dry run
with living as materialized (
    select l.id from provisioning.living_agents() l
), old as materialized (
    select j.id
    from provisioning.jobs j
    where j.id > $2
      and j.state in ('succeeded', 'cancelled')
      and j.finished_at < now() - $1 * interval '1 second'
      and not (
          j.kind = 'deprovision'
          and j.state = 'succeeded'
          and not j.deletion_confirmed
          and j.finished_at > now() - interval '1 hour'
      )
      and not (
          j.state = 'cancelled'
          and j.kind in ('provision', 'deprovision')
          and exists (select from living a where a.id = j.agent_id)
          and not exists (select from provisioning.agents p where p.agent_id = j.agent_id)
      )
      and not (
          j.state = 'cancelled'
          and j.kind = 'deprovision'
          and exists (select from provisioning.agents p where p.agent_id = j.agent_id)
          and not exists (select from living a where a.id = j.agent_id)
      )
    order by j.id
    limit $3
), gone as (
    delete from provisioning.jobs j using old o where o.id = j.id and not $4 returning j.id
)
select
    (select max(id) from old) as last,
    case when $4 then (select count(*) from old) else (select count(*) from gone) end as count
