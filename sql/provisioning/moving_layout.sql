-- How the rows of tables are read and written, those that others refer to first: columns by name, without those that the server
-- generates. What a partitioned table reads its partitions do not read again.
-- $1 tables, $2 the agent's id here
-- $3 the agent's id where the rows go; null: the same. It takes the place of $2 in columns that refer to agents, and in those
--   whose default is $2 here and $3 there: a default that only happens to be the same number is no id
-- $4 the columns that have $3 as their default there
with recursive own as materialized (
    select c.oid, c.relname::text as name, c.relkind, c.relispartition, format('%I.%I', n.nspname, c.relname) as relation
    from unnest($1) u (oid)
    join pg_catalog.pg_class c on c.oid = u.oid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
), placed (oid, place) as (
    select o.oid, 0 from own o
    union
    select k.conrelid, p.place + 1
    from placed p
    join pg_catalog.pg_constraint k on k.confrelid = p.oid and k.contype = 'f' and k.conrelid <> k.confrelid
    join own o on o.oid = k.conrelid
    -- Tables that refer to each other have no order.
    where p.place < (select count(*) from own)
), written as materialized (
    select a.attrelid as oid, a.attname::text as name, quote_ident(a.attname) as quoted,
        format_type(a.atttypid, a.atttypmod) as type,
        -- The binary form of an array or a row has the oids of its types, which are another server's.
        y.typelem = 0 and y.typtype in ('b', 'e') or a.atttypid < 16384 as is_portable,
        a.atttypid in ('pg_catalog.int8'::regtype, 'pg_catalog.int4'::regtype, 'pg_catalog.int2'::regtype)
            and coalesce(pg_get_expr(d.adbin, d.adrelid) ~ format('^[(]?''?%s''?[)]?(::[a-z]+)?$', $2::bigint), false) as has_id_as_default,
        exists (
            select from pg_catalog.pg_constraint k
            where k.conrelid = a.attrelid and k.contype = 'f' and k.confrelid = 'public.agents'::regclass
              and k.conkey = array[a.attnum]) as refers_to_agents
    from own o
    join pg_catalog.pg_attribute a on a.attrelid = o.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
    join pg_catalog.pg_type y on y.oid = a.atttypid
    left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
), lists as materialized (
    select w.oid,
        array_agg(concat_ws(' ', w.name, w.type) order by w.name collate "C") as columns,
        string_agg(w.quoted, ', ' order by w.name collate "C") as names,
        coalesce(array_agg(format('%s.%s', o.name, w.name)) filter (where w.has_id_as_default), '{}') as ids,
        string_agg(case when $3 is not null
                and (w.refers_to_agents or w.has_id_as_default and format('%s.%s', o.name, w.name) = any ($4::text[]))
            then format('case when %1$s = %2$s then %3$s else %1$s end as %1$s', w.quoted, $2::bigint, $3::bigint)
            else w.quoted end, ', ' order by w.name collate "C") as reads,
        bool_and(w.is_portable) as is_portable
    from written w
    join own o on o.oid = w.oid
    group by w.oid
)
select o.name, o.relation,
    coalesce(l.columns, '{}') as columns,
    coalesce(l.ids, '{}') as ids,
    not o.relispartition or i.inhparent is null as has_rows,
    format('copy (select %s from %s) to stdout', l.reads, q.from_table) as copy_out,
    format('copy %s (%s) from stdin', o.relation, l.names) as copy_in,
    format('select count(*), coalesce(sum(hashtextextended(r::text collate "C", 0)::numeric), 0)::text from (select %s from %s) r',
        l.reads, q.from_table) as digest,
    coalesce(l.is_portable, true) as is_portable,
    row_security_active(o.oid) as hides_rows
from own o
join (select p.oid, max(p.place) as place from placed p group by p.oid) p on p.oid = o.oid
left join lists l on l.oid = o.oid
left join pg_catalog.pg_inherits i on i.inhrelid = o.oid and i.inhparent in (select t.oid from own t)
cross join lateral (select case o.relkind when 'r' then 'only ' else '' end || o.relation as from_table) q
order by p.place, o.name collate "C"
