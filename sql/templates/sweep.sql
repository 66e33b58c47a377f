-- Statements that drop what stands under a scratch prefix.
-- $1 the head of its names
select format('drop table if exists public.%I cascade', c.relname) as statement
from pg_catalog.pg_class c
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and c.relname ^@ $1
union all
select format('drop type if exists public.%I cascade', y.typname)
from pg_catalog.pg_type y
where y.typnamespace = 'public'::regnamespace and y.typtype in ('e', 'd', 'r') and y.typname ^@ $1
