-- Jobs of one kind for registered agents, in the order given; workers are told. Where such a job is
-- open already, that one does, and learns what is wanted now unless a worker is on it.
-- $1 kind, $2 agents, $3 argument, $4 priority
with open as materialized (
    select j.id from provisioning.jobs j
    where j.kind = $1 and j.state = 'pending' and j.agent_id = any ($2)
), free as materialized (
    select j.id from provisioning.jobs j join open using (id)
    where j.state = 'pending' and $3 is not null
    for update of j skip locked
), told_so as (
    update provisioning.jobs j set argument = $3 from free f where f.id = j.id
), queued as (
    insert into provisioning.jobs (kind, agent_id, agent_prefix, user_id, argument, priority)
    select $1, p.agent_id, p.agent_prefix, p.user_id, $3, $4
    from unnest($2) with ordinality w (agent_id, place)
    join provisioning.agents p using (agent_id)
    order by w.place
    on conflict (agent_id, kind) where state = 'pending' do nothing
    returning id
), told as materialized (
    select pg_notify('agent_provisioning', '') from (select from queued limit 1) q
)
select id, (select count(*) from told) as told
from (select id from open union all select id from queued) j
order by 1
