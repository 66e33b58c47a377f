-- The registered agents, what stands for their rows in the registry, and what was recorded of each, if it counts.
-- $1 the seed of the hashes
select a.agent_id, a.agent_prefix, a.template_version,
    hash_record_extended(row(a.tableoid, a.agent_id, a.xmin), $1) as hash,
    v.fingerprint as recorded,
    to_char(v.verified_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as verified_at
from provisioning.agents a
left join provisioning.verified_agents v on v.agent_id = a.agent_id
    and v.verified_by = current_user and v.seed = $1
    and v.verified_at between now() - interval '1 day' and now()
    and a.removed_keys = '[]'
    and not exists (select from provisioning.drifted_agents d where d.agent_id = a.agent_id)
