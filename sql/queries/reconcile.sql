-- Jobs for what no trigger reported: agents without tables, and tables without an agent.
-- A dead or cancelled job is somebody's decision to take, so it counts as reported. And whether there
-- is something in the trash that is to go.
with missing as (
    insert into provisioning.jobs (kind, agent_id, agent_prefix, user_id)
    select 'provision', a.id, a.agent_prefix, a.user_id
    from public.agents a
    where not exists (select from provisioning.agents p where p.agent_id = a.id)
      and not exists (
          select from provisioning.jobs j
          where j.agent_id = a.id
            and j.kind in ('provision', 'deprovision')
            and j.state <> 'succeeded'
      )
    order by a.id
    on conflict (agent_id, kind) where state = 'pending' do nothing
    returning 1
), orphaned as (
    insert into provisioning.jobs (kind, agent_id, agent_prefix, user_id)
    select 'deprovision', p.agent_id, p.agent_prefix, p.user_id
    from provisioning.agents p
    where not exists (select from public.agents a where a.id = p.agent_id)
      and not exists (
          select from provisioning.jobs j
          where j.agent_id = p.agent_id and j.kind = 'deprovision' and j.state <> 'succeeded'
      )
    order by p.agent_id
    on conflict (agent_id, kind) where state = 'pending' do nothing
    returning 1
)
select (select count(*) from missing) as missing, (select count(*) from orphaned) as orphaned,
    exists (select from provisioning.trash where purge_at <= now()) as expired,
    provisioning.end_clock_waits() as clock_waits
