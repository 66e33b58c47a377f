-- The tables and enums that bear the prefix of an agent, by oid.
select c.oid
from public.agents a
join pg_catalog.pg_class c on c.relname ^@ (a.agent_prefix || '_')
join pg_catalog.pg_namespace n on n.oid = c.relnamespace and n.nspname = 'public'
where c.relkind in ('r', 'p', 'v', 'm')
union
select t.oid
from public.agents a
join pg_catalog.pg_type t on t.typname ^@ (a.agent_prefix || '_')
join pg_catalog.pg_namespace n on n.oid = t.typnamespace and n.nspname = 'public'
where t.typtype = 'e'
