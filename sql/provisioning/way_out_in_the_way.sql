-- What bears a name that an agent's templates give and is registered to nobody, and what hangs on it under a name of
-- its own that begins with it: sequences and indexes. Each with its kind as ALTER calls it, and with a name that is free.
-- Of several prefixes that head a name the longest counts.
-- $1 prefix, $2 names without schema
with others as materialized (
    select a.agent_prefix || '_' as head from provisioning.living_agents() a
    where a.agent_prefix ^@ ($1 || '_')
), relation as materialized (
    select c.oid, c.relname::text as name, c.relkind, coalesce(i.indrelid, d.refobjid, c.oid) as whole
    from pg_catalog.pg_class c
    left join pg_catalog.pg_index i on i.indexrelid = c.oid
    left join lateral (
        select d.refobjid from pg_catalog.pg_depend d
        where c.relkind = 'S' and d.classid = 'pg_class'::regclass and d.objid = c.oid
          and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i')
        limit 1
    ) d on true
    where c.relnamespace = 'public'::regnamespace and c.relname ^@ ($1 || '_')
), found as (
    select r.oid, r.name, r.relkind::text as kind
    from relation r
    where r.name = any ($2)
      and not exists (select from provisioning.agent_tables t where t.relation in (r.oid, r.whole))
      and not exists (select from others o where r.name ^@ o.head)
), named as (
    select f.oid, f.name, f.kind, true as asked from found f
    union
    select r.oid, r.name, r.relkind::text, false
    from found f
    join relation r on r.whole = f.oid and r.oid <> f.oid and r.relkind in ('S', 'i', 'I')
        and r.name ^@ (f.name || '_') and r.name <> all ($2)
    union
    -- An enum, a domain or a range: what is no relation.
    select y.oid, y.typname::text, 'y', true
    from pg_catalog.pg_type y
    where y.typnamespace = 'public'::regnamespace and y.typname = any ($2) and y.typrelid = 0 and y.typelem = 0
      and not exists (select from provisioning.agent_types t where t.type = y.oid)
      and not exists (select from others o where y.typname ^@ o.head)
), numbered as (
    select n.*, row_number() over (order by n.name) as place, count(*) over () as total from named n
)
select n.name, n.asked, free.name as free,
    -- Not where the agent's own table stands elsewhere.
    n.asked and n.kind in ('r', 'p') and not exists (
        select from provisioning.displaced_tables d
        join provisioning.agents a using (agent_id)
        where a.agent_prefix = $1 and d.table_name = n.name) as adoptable,
    case n.kind when 'S' then 'sequence' when 'i' then 'index' when 'I' then 'index' when 'v' then 'view'
        when 'm' then 'materialized view' when 'f' then 'foreign table' when 'c' then 'type' when 'y' then 'type'
        else 'table' end as kind
from numbered n
-- Long names lose their ends. Then each takes other numbers than the rest.
cross join lateral (
    select case when length(n.name) > 55 then provisioning.free_name(n.name, n.place, n.total)
                else provisioning.free_name(n.name) end as name
) free
order by n.kind in ('S', 'i', 'I'), n.name
