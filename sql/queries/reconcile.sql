-- Jobs for what no trigger reported: agents without tables, and tables without an agent.
-- A dead, paused or cancelled job is somebody's decision to take, so it counts as reported.
-- Who exists is asked by living_agents, which raises where row security would hide a row: then nothing is
-- queued. `hidden` counts the agents that this role does not see, though they exist.
with living as materialized (
    select l.id, l.agent_prefix, l.user_id from provisioning.living_agents() l
), missing as (
    insert into provisioning.jobs (kind, agent_id, agent_prefix, user_id)
    select 'provision', l.id, l.agent_prefix, l.user_id
    from living l
    where not exists (select from provisioning.agents p where p.agent_id = l.id)
      and not exists (
          select from provisioning.jobs j
          where j.agent_id = l.id
            and j.kind in ('provision', 'deprovision')
            and j.state <> 'succeeded'
      )
    order by l.id
    on conflict (agent_id, kind) where state = 'pending' do nothing
    returning 1
), orphaned as (
    insert into provisioning.jobs (kind, agent_id, agent_prefix, unreported)
    select 'deprovision', p.agent_id, p.agent_prefix, not exists (
        select from provisioning.deleted_agents d where d.agent_id = p.agent_id)
    from provisioning.agents p
    where not exists (select from living l where l.id = p.agent_id)
      and not exists (
          select from provisioning.jobs j
          where j.agent_id = p.agent_id and j.kind = 'deprovision' and j.state <> 'succeeded'
      )
    order by p.agent_id
    on conflict (agent_id, kind) where state = 'pending' do nothing
    returning 1
)
select (select count(*) from missing) as missing, (select count(*) from orphaned) as orphaned,
    (select count(*) from living l where not exists (select from public.agents a where a.id = l.id)) as hidden,
    exists (select from provisioning.trash where purge_at <= now()) as expired,
    provisioning.end_clock_waits() as clock_waits
