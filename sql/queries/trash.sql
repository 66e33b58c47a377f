-- Notes an agent that goes into the trash; its number there. provisioning.remove_agent adds what only the agent's
-- row knows. A key to public.agents that somebody has given up meanwhile (`agents convert`) does not come back.
-- $1 agent, $2 what else was taken off, $3 seconds to keep it, $4 the service's clock, in seconds since 1970
insert into provisioning.trash (
    agent_id, agent_prefix, built_for,
    template_version, reference, provisioned_at, regain, purge_at, clock_offset
)
select p.agent_id, p.agent_prefix, p.user_id,
    p.template_version, p.reference, p.provisioned_at,
    (select coalesce(jsonb_agg(e.entry::jsonb), '[]') from unnest($2) e (entry))
    || (select coalesce(jsonb_agg(k.entry), '[]') from jsonb_array_elements(p.removed_keys) k (entry)
        where p.reference = 'foreign_key'
           or (k.entry ->> 'refers_to_schema', k.entry ->> 'refers_to') is distinct from ('public', 'agents')),
    now() + $3 * interval '1 second',
    extract(epoch from clock_timestamp()) - $4
from provisioning.agents p
where p.agent_id = $1
returning item
