-- Jobs of one kind for registered agents, in the order given; workers are told. Where such a job is
-- pending or dead already, that one does: it is due now and learns what is wanted, unless a worker
-- is on it.
-- $1 kind, $2 agents, $3 argument, $4 priority
with open as materialized (
    select distinct on (j.agent_id) j.agent_id, j.id
    from provisioning.jobs j
    where j.kind = $1 and j.state in ('pending', 'dead') and j.agent_id = any ($2)
    order by j.agent_id, j.state desc, j.id
), free as materialized (
    select j.id from provisioning.jobs j join open using (id)
    where j.state in ('pending', 'dead')
    for update of j skip locked
), revived as (
    update provisioning.jobs j
    set argument = coalesce($3, j.argument), state = 'pending', finished_at = null, run_at = now(),
        attempts = 0
    from free f
    where f.id = j.id
), queued as (
    insert into provisioning.jobs (kind, agent_id, agent_prefix, user_id, argument, priority)
    select $1, p.agent_id, p.agent_prefix, p.user_id, $3, $4
    from unnest($2) with ordinality w (agent_id, place)
    join provisioning.agents p using (agent_id)
    where not exists (select from open o where o.agent_id = p.agent_id)
    order by w.place
    on conflict (agent_id, kind) where state = 'pending' do nothing
    returning id
), told as materialized (
    select provisioning.notify('agent_provisioning') from (select from queued union select from free limit 1) q
)
select id, (select count(*) from told) as told
from (select id from open union all select id from queued) j
order by 1
