-- What changes with the rows of some tables and with their sequences: for each table a text, which ends with the number
-- of rows that this transaction has written and of numbers that were drawn.
-- $1 tables
select c.oid, format('%s %s rows', c.relfilenode,
    pg_stat_get_xact_tuples_inserted(c.oid) + pg_stat_get_xact_tuples_updated(c.oid)
    + pg_stat_get_xact_tuples_deleted(c.oid) + (
        select coalesce(sum(case when has_sequence_privilege(d.objid, 'usage') or has_sequence_privilege(d.objid, 'select')
                                 then pg_sequence_last_value(d.objid) end), 0)::bigint
        from pg_catalog.pg_depend d
        join pg_catalog.pg_class s on s.oid = d.objid and s.relkind = 'S'
        where d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = c.oid and d.refobjsubid > 0
          and d.classid = 'pg_catalog.pg_class'::regclass and d.deptype in ('a', 'i'))) as state
from unnest($1) u (oid)
join pg_catalog.pg_class c on c.oid = u.oid
