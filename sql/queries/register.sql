-- Registers an agent's new tables and types; no row comes back where the agent is gone.
-- $1 agent, $2 template version, $3 reference, $4 table names, $5 type names
with agent as materialized (
    select a.id, a.agent_prefix, a.user_id from public.agents a where a.id = $1
), registered as (
    insert into provisioning.agents (agent_id, agent_prefix, user_id, template_version, reference)
    select id, agent_prefix, user_id, $2, $3 from agent
    returning agent_id
), types as (
    insert into provisioning.agent_types (type, agent_id, type_name)
    select y.oid::regtype, r.agent_id, y.typname
    from registered r, pg_catalog.pg_type y
    where y.typnamespace = 'public'::regnamespace and y.typtype = 'e' and y.typname = any ($5)
)
insert into provisioning.agent_tables (relation, agent_id, table_name)
select c.oid::regclass, r.agent_id, c.relname
from registered r, pg_catalog.pg_class c
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and c.relname = any ($4)
returning table_name
