-- What has no counterpart: agents that nobody built or is building, registrations whose agent is
-- gone and that nobody is dropping, and unregistered tables and types that look like some agent's: named
-- like one of the templates', or, of tables, under a registered prefix. Who exists is asked in a way that row
-- security cannot filter.
-- $1 ends of table names, such as _customers, $2 of types'
with living as materialized (
    select l.id, l.agent_prefix from provisioning.living_agents() l
), prefixes as materialized (
    select p.agent_prefix from provisioning.agents p
), others as materialized (
    select c.relname
    from pg_catalog.pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
      and not exists (select from provisioning.agent_tables t where t.relation = c.oid)
)
select 'without_tables' as what, a.agent_prefix as name, a.id as agent_id
from living a
where not exists (select from provisioning.agents p where p.agent_id = a.id)
  and not exists (select from provisioning.jobs j where j.agent_id = a.id and j.state = 'pending')
union all
select 'without_agent', p.agent_prefix, p.agent_id
from provisioning.agents p
where not exists (select from living a where a.id = p.agent_id)
  and not exists (select from provisioning.jobs j where j.agent_id = p.agent_id and j.state = 'pending')
union all
select 'unmanaged', o.relname::text, null
from others o
where exists (select from unnest($1) e (suffix) where right(o.relname, length(suffix)) = suffix)
   or exists (
       -- Every head of the name that ends before an underscore.
       select from generate_series(1, length(o.relname)) at (i)
       where substr(o.relname, at.i, 1) = '_' and left(o.relname, at.i - 1) in (select agent_prefix from prefixes))
union all
select 'unmanaged', y.typname::text, null
from pg_catalog.pg_type y
where y.typnamespace = 'public'::regnamespace and y.typtype = 'e'
  and exists (select from unnest($2) e (suffix) where right(y.typname, length(suffix)) = suffix)
  and not exists (select from provisioning.agent_types t where t.type = y.oid)
order by 1, 2
