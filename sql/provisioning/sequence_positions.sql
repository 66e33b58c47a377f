-- Columns whose sequence has drawn far fewer numbers than the table has rows: the next number is likely to be taken. Both
-- are read in the catalog and in statistics. A SELECT would run code of the tables' owner, who may have made an index on
-- a function of its own, in the session of whoever compares.
-- $1 tables
with filled as materialized (
    select u.oid from unnest($1) u (oid) where pg_stat_get_live_tuples(u.oid) > 0
), own as materialized (
    select c.oid as owner, c.relname::text as home, format('%I.%I', n.nspname, c.relname) as relation,
        quote_ident(a.attname) as part, format('%I.%I', sn.nspname, s.relname) as sequence, s.oid,
        q.seqstart, q.seqincrement, pg_stat_get_live_tuples(c.oid) as rows
    from filled f
    join pg_catalog.pg_class c on c.oid = f.oid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = c.oid
        and d.refobjsubid > 0 and d.deptype in ('a', 'i') and d.classid = 'pg_catalog.pg_class'::regclass
    join pg_catalog.pg_sequence q on q.seqrelid = d.objid and q.seqincrement > 0 and not q.seqcycle
    join pg_catalog.pg_class s on s.oid = q.seqrelid
    join pg_catalog.pg_namespace sn on sn.oid = s.relnamespace
    join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = d.refobjsubid
), drawn as materialized (
    select o.*, coalesce((pg_sequence_last_value(o.oid) - o.seqstart) / o.seqincrement + 1, 0) as numbers
    from own o
    where has_sequence_privilege(o.oid, 'usage') or has_sequence_privilege(o.oid, 'select')
)
select owner, home, relation, part, sequence, format('%s numbers drawn, about %s rows', numbers, rows) as found
from drawn
-- The number of rows is an estimate.
where rows > 1.2 * numbers
