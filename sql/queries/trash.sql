-- Notes an agent that goes into the trash; its number there.
-- What the deleted row said goes before the row of that id: it may have been inserted again since.
-- $1 agent, $2 user, $3 what only the deleted row knew, $4 what to regain, $5 seconds to keep it
insert into provisioning.trash (
    agent_id, agent_prefix, user_id, created_by, created_at,
    template_version, reference, provisioned_at, regain, purge_at
)
select p.agent_id, p.agent_prefix,
    case
        when a.id is not null then a.user_id
        when $3 is not null then $2::uuid
        else coalesce($2::uuid, p.user_id)
    end,
    coalesce(a.created_by, ($3::json ->> 'created_by')::uuid),
    coalesce(a.created_at, ($3::json ->> 'created_at')::timestamptz),
    p.template_version, p.reference, p.provisioned_at, $4, now() + $5 * interval '1 second'
from provisioning.agents p
left join public.agents a on a.id = p.agent_id and $3 is null
where p.agent_id = $1
returning item
