-- Registers the names that the files of an upgrade have given to an agent's tables and types.
-- $1 agent, $2 what tables were called, $3 what they are called now, $4 and $5 the same of types
with tables as (
    update provisioning.agent_tables t set table_name = c.relname
    from unnest($2, $3) r (old, new)
    join pg_catalog.pg_class c on c.relname = r.new and c.relnamespace = 'public'::regnamespace
    where t.agent_id = $1 and t.relation = c.oid and t.table_name = r.old
)
update provisioning.agent_types t set type_name = y.typname
from unnest($4, $5) r (old, new)
join pg_catalog.pg_type y on y.typname = r.new and y.typnamespace = 'public'::regnamespace
where t.agent_id = $1 and t.type = y.oid and t.type_name = r.old
