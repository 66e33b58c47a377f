-- Notes what of an agent goes into the trash, and gives the statements that move it there: each table, and then at
-- once what moved with it, since the next table may have things of the same names. No prefix begins with
-- an underscore, so nothing that comes later bears one of the names.
-- $1 agent, $2 number in the trash
with tables as materialized (
    select c.oid, c.relnamespace, c.relname
    from provisioning.agent_tables t
    join pg_catalog.pg_class c on c.oid = t.relation and c.relname = t.table_name
    where t.agent_id = $1
), relations as (
    select 'table' as kind, oid, relnamespace as home, relname::text as name, oid as with_table from tables
    union all
    select 'index', c.oid, c.relnamespace, c.relname::text, t.oid
    from tables t
    join pg_catalog.pg_index i on i.indrelid = t.oid
    join pg_catalog.pg_class c on c.oid = i.indexrelid
    union all
    select 'sequence', c.oid, c.relnamespace, c.relname::text, t.oid
    from tables t
    join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_class'::regclass
        and d.refobjid = t.oid and d.refobjsubid > 0 and d.deptype in ('a', 'i')
        and d.classid = 'pg_catalog.pg_class'::regclass
    join pg_catalog.pg_class c on c.oid = d.objid and c.relkind = 'S'
    union all
    -- Those of somebody else's stay where they are, on the moved table, and go when it is dropped.
    select 'statistics', s.oid, s.stxnamespace, s.stxname::text, null
    from tables t
    join pg_catalog.pg_statistic_ext s
        on s.stxrelid = t.oid and pg_has_role(s.stxowner, 'usage')
    union all
    select 'type', y.oid, y.typnamespace, y.typname::text, null
    from provisioning.agent_types t
    join pg_catalog.pg_type y on y.oid = t.type and y.typname = t.type_name
    where t.agent_id = $1
), renamed as (
    select r.*, '_' || $2 || substr(r.name, length(p.agent_prefix) + 1) as telling,
        r.name ^@ (p.agent_prefix || '_') as has_prefix,
        row_number() over (order by r.kind, r.oid) as number,
        -- An index and a type may have one name, and so may two tables in two schemas.
        row_number() over (partition by r.name order by r.kind <> 'table', r.oid) = 1 as is_first
    from relations r, provisioning.agents p
    where p.agent_id = $1
), named as materialized (
    select r.*, n.nspname as schema,
        case when r.has_prefix and r.is_first and octet_length(r.telling) <= 63 then r.telling
             else format('_%s.%s', $2, r.number) end as kept_as
    from renamed r join pg_catalog.pg_namespace n on n.oid = r.home
), noted as (
    insert into provisioning.trash_relations (kept_as, item, kind, home, name)
    select kept_as, $2, kind, schema, name from named
    returning kept_as
)
select d.kind = 'table' as is_table, concat(
    -- Indexes and sequences go with their tables.
    case when d.kind in ('table', 'statistics', 'type')
         then format('alter %s %I.%I set schema provisioning_trash; ', d.kind, d.schema, d.name) end,
    format('alter %s provisioning_trash.%I rename to %I', d.kind, d.name, d.kept_as)) as statement
from named d join noted using (kept_as)
order by d.with_table, d.kind <> 'table', d.number
