-- Approves the deletion of an agent that another database has now, whatever the limits of deletions, and ends the move. A row: the job
-- that is still paused, since another session has it. Then nothing is to be committed.
-- $1 the move, $2 who asks, besides the role
with ended as (
    update provisioning.moves m set state = 'done', ended_at = clock_timestamp(), carried = null
    where m.id = $1::text::uuid and m.state = 'handed_over'
    returning m.job, m.peer, set_config('provisioning.move', m.id::text, true) as move
)
select r.id
from ended e
cross join lateral provisioning.replay(
    array[e.job], null, '{paused}', format('the agent is in database "%s" now', e.peer), $2, false, true) r
where r.state = 'paused' and not r.picked
