-- The statements that open the tables of an agent which was moved away and is back from the trash. The move does not count any more.
-- $1 agent, $2 the move
with undone as (
    update provisioning.moves m set state = 'aborted', ended_at = coalesce(m.ended_at, clock_timestamp()) where m.id = $2::text::uuid and m.agent_id = $1
    returning m.agent_id
)
select format('drop trigger moved_away on %I.%I', n.nspname, c.relname)
from undone u
join provisioning.agent_tables t on t.agent_id = u.agent_id
join pg_catalog.pg_class c on c.oid = t.relation
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_trigger g on g.tgrelid = c.oid and g.tgname = 'moved_away'
order by c.oid
