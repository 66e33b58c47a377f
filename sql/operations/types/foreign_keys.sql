-- The foreign keys between a scratch agent's tables. One whose columns are a key, too, leads from at most one row.
-- $1 the head of the tables' names
select t.relname::text as table_name,
    case when k.conname ^@ $1 then right(k.conname, -length($1)) else replace(k.conname, left($1, -1), '{prefix}') end as name,
    k.conname ^@ $1 as is_prefixed,
    r.relname::text as referenced_table,
    array(
        select a.attname::text
        from unnest(k.conkey) with ordinality u (attnum, place)
        join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum = u.attnum
        order by u.place) as columns,
    array(
        select a.attname::text
        from unnest(k.confkey) with ordinality u (attnum, place)
        join pg_catalog.pg_attribute a on a.attrelid = r.oid and a.attnum = u.attnum
        order by u.place) as referenced_columns,
    exists (
        select from pg_catalog.pg_constraint o
        where o.conrelid = t.oid and o.contype in ('p', 'u') and o.conkey <@ k.conkey and o.conkey @> k.conkey) as is_one_to_one
from pg_catalog.pg_constraint k
join pg_catalog.pg_class t on t.oid = k.conrelid and not t.relispartition
join pg_catalog.pg_class r on r.oid = k.confrelid and not r.relispartition
where k.contype = 'f' and k.connamespace = 'public'::regnamespace and r.relnamespace = 'public'::regnamespace
  and t.relname ^@ $1 and r.relname ^@ $1
order by t.oid, k.conname
