-- One batch of finished jobs that are old enough to be forgotten.
-- Dead and pending jobs stay, and so does a cancelled job as long as reconcile.sql would queue it
-- again without it: it is what remains of somebody's decision.
-- $1 seconds, $2 the last id of the batch before, $3 most rows, $4 dry run
with old as materialized (
    select j.id
    from provisioning.jobs j
    where j.id > $2
      and j.state in ('succeeded', 'cancelled')
      and j.finished_at < now() - $1 * interval '1 second'
      and not (
          j.state = 'cancelled'
          and j.kind in ('provision', 'deprovision')
          and exists (select from public.agents a where a.id = j.agent_id)
          and not exists (select from provisioning.agents p where p.agent_id = j.agent_id)
      )
      and not (
          j.state = 'cancelled'
          and j.kind = 'deprovision'
          and exists (select from provisioning.agents p where p.agent_id = j.agent_id)
          and not exists (select from public.agents a where a.id = j.agent_id)
      )
    order by j.id
    limit $3
), gone as (
    delete from provisioning.jobs j using old o where o.id = j.id and not $4 returning j.id
)
select
    (select max(id) from old) as last,
    case when $4 then (select count(*) from old) else (select count(*) from gone) end as count
