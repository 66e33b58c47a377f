-- What code and documents name: tables and views, functions that can be called, and members of publications. Each is one
-- row of JSON. The server's own schemas are left out.
with schemas as materialized (
    select n.oid, n.nspname
    from pg_catalog.pg_namespace n
    where n.nspname <> 'information_schema' and not n.nspname ^@ 'pg_'
), extensions as materialized (
    select d.classid, d.objid
    from pg_catalog.pg_depend d
    where d.deptype = 'e' and d.refclassid = 'pg_catalog.pg_extension'::regclass
), relations as materialized (
    select c.oid, n.nspname, c.relname, c.relkind, c.relispartition
    from pg_catalog.pg_class c
    join schemas n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'f', 'v', 'm')
), enums as materialized (
    -- Also behind a domain.
    select y.oid, json_build_object(
        'name', json_build_object('schema', n.nspname, 'name', e.typname),
        'labels', coalesce((
            select json_agg(l.enumlabel order by l.enumsortorder) from pg_catalog.pg_enum l where l.enumtypid = e.oid
        ), '[]')) as entry
    from pg_catalog.pg_type y
    join pg_catalog.pg_type e on e.oid = case y.typtype when 'd' then y.typbasetype else y.oid end
    join pg_catalog.pg_namespace n on n.oid = e.typnamespace
    where e.typtype = 'e'
), columns as (
    select a.attrelid, json_agg(json_build_object(
        'name', a.attname,
        'type', format_type(a.atttypid, a.atttypmod),
        'enum', e.entry,
        'not_null', a.attnotnull,
        'default', case when a.attgenerated = '' then pg_get_expr(d.adbin, d.adrelid) end,
        'generated', case when a.attgenerated <> '' then pg_get_expr(d.adbin, d.adrelid) end,
        'identity', case a.attidentity when 'a' then 'always' when 'd' then 'by default' end) order by a.attnum) as list
    from relations r
    join pg_catalog.pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
    left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    left join enums e on e.oid = a.atttypid
    group by a.attrelid
), indexes as (
    -- Only columns, and of all rows: what ON CONFLICT finds and what a document calls indexed.
    select i.indrelid, json_agg(json_build_object(
        'unique', i.indisunique and i.indimmediate,
        'primary', i.indisprimary,
        'columns', (
            select json_agg(a.attname order by k.place)
            from unnest(i.indkey::int2[]) with ordinality k (attnum, place)
            join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
            where k.place <= i.indnkeyatts)) order by i.indexrelid) as list
    from relations r
    join pg_catalog.pg_index i on i.indrelid = r.oid
    where i.indisvalid and i.indpred is null and i.indexprs is null
    group by i.indrelid
), keys as (
    select k.conrelid, json_agg(json_build_object(
        'name', k.conname,
        'columns', (
            select json_agg(a.attname order by c.place)
            from unnest(k.conkey) with ordinality c (attnum, place)
            join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = c.attnum),
        'target', json_build_object('schema', n.nspname, 'name', t.relname),
        'target_columns', (
            select json_agg(a.attname order by c.place)
            from unnest(k.confkey) with ordinality c (attnum, place)
            join pg_catalog.pg_attribute a on a.attrelid = k.confrelid and a.attnum = c.attnum),
        'on_delete', case k.confdeltype when 'c' then 'cascade' when 'n' then 'set null' when 'd' then 'set default'
                     when 'r' then 'restrict' else 'no action' end) order by k.conname) as list
    from relations r
    join pg_catalog.pg_constraint k on k.conrelid = r.oid and k.contype = 'f' and k.conparentid = 0
    join pg_catalog.pg_class t on t.oid = k.confrelid
    join pg_catalog.pg_namespace n on n.oid = t.relnamespace
    group by k.conrelid
), functions as (
    -- Those that a request can call: no trigger functions, aggregates or procedures.
    select n.nspname, p.oid, p.proname, p.proretset, p.prorettype, p.proargnames, p.provariadic,
        coalesce(p.proallargtypes, p.proargtypes::oid[]) as types, p.proargmodes, p.pronargs - p.pronargdefaults as required
    from pg_catalog.pg_proc p
    join schemas n on n.oid = p.pronamespace
    where p.prokind = 'f' and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
), arguments as (
    select f.oid, json_agg(json_build_object(
        'name', coalesce(f.proargnames[a.place], ''),
        'type', format_type(a.type, null),
        'enum', e.entry,
        'has_default', a.rank > f.required,
        -- A function of a table's row is a column or a relationship of that table to a request.
        'row_of', (
            select json_build_object('schema', n.nspname, 'name', c.relname)
            from pg_catalog.pg_type y
            join pg_catalog.pg_class c on c.oid = y.typrelid and c.relkind <> 'c'
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where y.oid = a.type)) order by a.place) as list
    from functions f
    cross join lateral (
        select t.type, t.place, row_number() over (order by t.place) as rank
        from unnest(f.types) with ordinality t (type, place)
        where f.proargmodes is null or f.proargmodes[t.place] in ('i', 'b', 'v')
    ) a
    left join enums e on e.oid = a.type
    group by f.oid
)
select json_build_object('what', 'table', 'table', json_build_object(
    'name', json_build_object('schema', r.nspname, 'name', r.relname),
    'is_view', r.relkind in ('v', 'm'),
    'is_partition', r.relispartition,
    'is_extension', exists (
        select from extensions e where e.classid = 'pg_catalog.pg_class'::regclass and e.objid = r.oid),
    'columns', coalesce(c.list, '[]'),
    'indexes', coalesce(i.list, '[]'),
    'foreign_keys', coalesce(k.list, '[]')))::text as entry
from relations r
left join columns c on c.attrelid = r.oid
left join indexes i on i.indrelid = r.oid
left join keys k on k.conrelid = r.oid
union all
select json_build_object('what', 'function', 'function', json_build_object(
    'name', json_build_object('schema', f.nspname, 'name', f.proname),
    'is_variadic', f.provariadic <> 0,
    'returns_row_of', (
        select json_build_object('schema', n.nspname, 'name', c.relname)
        from pg_catalog.pg_type y
        join pg_catalog.pg_class c on c.oid = y.typrelid and c.relkind <> 'c'
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where y.oid = f.prorettype),
    'arguments', coalesce(a.list, '[]')))::text
from functions f
left join arguments a on a.oid = f.oid
union all
select json_build_object('what', 'published', 'published', json_build_object(
    'publication', p.pubname,
    'table', json_build_object('schema', p.schemaname, 'name', p.tablename)))::text
from pg_catalog.pg_publication_tables p
