-- How far the sequences of tables' columns are; those that have drawn no number are left out.
-- $1 tables
select c.relname::text as table_name, a.attname::text as column_name, format('%I.%I', n.nspname, s.relname) as sequence,
    pg_sequence_last_value(s.oid) as last_value
from unnest($1) u (oid)
join pg_catalog.pg_class c on c.oid = u.oid
join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = c.oid and d.refobjsubid > 0
    and d.deptype in ('a', 'i') and d.classid = 'pg_catalog.pg_class'::regclass
join pg_catalog.pg_class s on s.oid = d.objid and s.relkind = 'S'
join pg_catalog.pg_namespace n on n.oid = s.relnamespace
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = d.refobjsubid
order by c.relname collate "C", a.attname collate "C"
