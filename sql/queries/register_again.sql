-- Registers what was made for an agent that is registered already, and forgets what is gone.
-- $1 agent, $2 table names, $3 type names
with forgotten_tables as (
    delete from provisioning.agent_tables t
    where t.agent_id = $1
      and not exists (select from pg_catalog.pg_class c where c.oid = t.relation)
), forgotten_types as (
    delete from provisioning.agent_types t
    where t.agent_id = $1
      and not exists (select from pg_catalog.pg_type y where y.oid = t.type)
), types as (
    insert into provisioning.agent_types (type, agent_id, type_name)
    select y.oid::regtype, $1, y.typname
    from pg_catalog.pg_type y
    where y.typnamespace = 'public'::regnamespace and y.typtype = 'e' and y.typname = any ($3)
    on conflict (type) do nothing
)
insert into provisioning.agent_tables (relation, agent_id, table_name)
select c.oid::regclass, $1, c.relname
from pg_catalog.pg_class c
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and c.relname = any ($2)
on conflict (relation) do nothing
