-- Living agents with tables that bear the names of the templates' and are registered to nobody, where no registered table
-- stands elsewhere that the name belongs to. Of registered agents also types. Who exists is asked in a way that row security
-- cannot filter.
-- $1 prefixes; null is all, $2 ends of table names, such as _customers, $3 of types'
with living as materialized (
    select a.id, a.agent_prefix from provisioning.living_agents() a where $1 is null or a.agent_prefix = any ($1)
), found as (
    select a.id, a.agent_prefix, c.relname::text as name
    from living a
    cross join unnest($2) e (suffix)
    join pg_catalog.pg_class c
        on c.relname = a.agent_prefix || e.suffix and c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
    where not exists (select from provisioning.agent_tables t where t.relation = c.oid)
      and not exists (
          select from provisioning.displaced_tables d where d.agent_id = a.id and d.table_name = c.relname)
    union all
    select a.id, a.agent_prefix, y.typname::text
    from living a
    join provisioning.agents p on p.agent_id = a.id
    cross join unnest($3) e (suffix)
    join pg_catalog.pg_type y
        on y.typname = a.agent_prefix || e.suffix and y.typnamespace = 'public'::regnamespace and y.typtype = 'e'
    where not exists (select from provisioning.agent_types t where t.type = y.oid)
      and not exists (
          select from provisioning.agent_types t
          join pg_catalog.pg_type o on o.oid = t.type
          where t.agent_id = a.id and t.type_name = y.typname)
)
select agent_prefix as prefix, id, array_agg(name order by name) as tables
from found
group by agent_prefix, id
order by 1
