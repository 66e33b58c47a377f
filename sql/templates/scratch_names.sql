-- The names of all relations that the templates have made for the scratch prefix, indexes and sequences too, and of the
-- table that each belongs to. By index, as in scratch.sql.
-- $1 the head of its names
select c.relname::text as name, coalesce(w.relname, c.relname)::text as whole
from pg_catalog.pg_class c
left join pg_catalog.pg_index i on i.indexrelid = c.oid
left join lateral (
    select d.refobjid from pg_catalog.pg_depend d
    where c.relkind = 'S' and d.classid = 'pg_class'::regclass and d.objid = c.oid
      and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i')
    limit 1
) d on true
left join pg_catalog.pg_class w on w.oid = coalesce(i.indrelid, d.refobjid)
where c.relnamespace = 'public'::regnamespace and c.relname >= $1 and c.relname ^@ $1
order by c.oid
