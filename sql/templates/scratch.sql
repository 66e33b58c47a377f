-- What the templates have made for the scratch prefix. Hardly anything comes behind it in the order of names: so the server
-- finds them by index.
-- $1 the head of its names
select c.oid, c.relname::text as name, true as is_table
from pg_catalog.pg_class c
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and c.relname >= $1 and c.relname ^@ $1
union all
select y.oid, y.typname::text, false
from pg_catalog.pg_type y
where y.typnamespace = 'public'::regnamespace and y.typtype = 'e' and y.typname >= $1 and y.typname ^@ $1
order by 1
