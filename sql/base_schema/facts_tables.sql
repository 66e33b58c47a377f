-- The tables and types of the base schema.
-- $1 names of our tables in schema public
select c.oid, true as is_table
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and (n.nspname = 'provisioning' or n.nspname = 'public' and c.relname = any ($1))
union all
select t.oid, false
from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace
where n.nspname = 'public' and t.typname = 'role' and t.typtype = 'e'
