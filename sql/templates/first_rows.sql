-- Tables that have rows or sequences, and what is to be read of these.
-- $1 tables
select c.relname as home, format('%I.%I', n.nspname, c.relname) as relation,
    c.relkind = 'r' and pg_relation_size(c.oid) > 0 as has_rows,
    array(select quote_ident(a.attname)
          from pg_catalog.pg_attribute a
          where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
          order by a.attnum) as columns,
    array(select format('%I.%I', sn.nspname, s.relname)
          from pg_catalog.pg_depend d
          join pg_catalog.pg_class s on s.oid = d.objid and s.relkind = 'S'
          join pg_catalog.pg_namespace sn on sn.oid = s.relnamespace
          where d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = c.oid and d.refobjsubid > 0
            and d.classid = 'pg_catalog.pg_class'::regclass and d.deptype in ('a', 'i')
          order by s.relname) as sequences
from unnest($1) u (oid)
join pg_catalog.pg_class c on c.oid = u.oid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
order by c.oid
