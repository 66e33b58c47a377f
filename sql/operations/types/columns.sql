-- The columns of a scratch agent's tables, in order. The API shows no partitions. A column that is named after the prefix has
-- another name in each agent.
-- $1 the head of the tables' names
select c.relname::text as table_name, a.attname::text as name, a.atttypid as type_oid,
    not (a.attnotnull or y.typnotnull) as is_nullable,
    a.atthasdef or a.attidentity <> '' or y.typdefault is not null as has_default,
    a.attgenerated <> '' or a.attidentity = 'a' as is_generated
from pg_catalog.pg_class c
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
join pg_catalog.pg_type y on y.oid = a.atttypid
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition and c.relname ^@ $1
  and position(left($1, -1) in a.attname) = 0
order by c.oid, a.attnum
