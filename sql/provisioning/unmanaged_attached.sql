-- What hangs together with some tables, but does not go with them: partitions and inheritance children, which a DROP
-- takes along; and with $2 also parents, which go on showing the tables' rows. Each with the statement that
-- takes the two apart.
-- $1 tables, $2 whether parents count
select
    case when i.inhparent = any ($1) then part.name else whole.name end as stranger,
    format('%s is a part of %s', part.name, whole.name) as found,
    case when part.relispartition then format('alter table %s detach partition %s', whole.name, part.name)
         else format('alter table %s no inherit %s', part.name, whole.name) end as fix
from pg_catalog.pg_inherits i
join lateral (
    select format('%I.%I', n.nspname, c.relname) as name, c.relispartition
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.oid = i.inhrelid
) part on true
join lateral (
    select format('%I.%I', n.nspname, c.relname) as name
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.oid = i.inhparent
) whole on true
where i.inhparent = any ($1) and i.inhrelid <> all ($1)
   or $2 and i.inhrelid = any ($1) and i.inhparent <> all ($1)
order by 2
