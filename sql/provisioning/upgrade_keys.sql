-- The foreign keys to agents of tables that are registered to an agent under these names.
-- $1 agent, $2 names
select t.table_name, quote_ident(k.conname) as key, pg_get_constraintdef(k.oid) as definition
from provisioning.agent_tables t
join pg_catalog.pg_constraint k on k.conrelid = t.relation and k.contype = 'f' and k.confrelid = 'public.agents'::regclass
where t.agent_id = $1 and t.table_name = any ($2)
