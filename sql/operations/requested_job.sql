-- The agent's last job of a kind. Where this transaction queued it, it says who asked.
-- $1 the agent's id
-- $2 the kind
-- $3 the person who asks, besides the role; null: not known
with own as (
    update provisioning.jobs set requested_by = provisioning.requester($3)
    where agent_id = $1 and kind = $2 and created_at = now()
)
select j.id, j.state = 'paused' as is_paused
from provisioning.jobs j
where j.agent_id = $1 and j.kind = $2
order by j.id desc
limit 1
