-- Registers what somebody else built for an agent; what was registered. The key share keeps
-- the agent from being deleted before this transaction commits.
-- $1 agent, $2 template version, $3 reference, $4 tables, $5 types
with agent as materialized (
    select a.id from public.agents a where a.id = $1 for key share
), registered as materialized (
    select a.id as agent_id from agent a where provisioning.enter_agent(a.id, $2, $3)
), types as (
    insert into provisioning.agent_types (type, agent_id, type_name)
    select y.oid::regtype, r.agent_id, y.typname
    from registered r, pg_catalog.pg_type y
    where y.oid = any ($5)
    returning 1
), tables as (
    insert into provisioning.agent_tables (relation, agent_id, table_name)
    select c.oid::regclass, r.agent_id, c.relname
    from registered r, pg_catalog.pg_class c
    where c.oid = any ($4)
    returning 1
)
select (select count(*) from agent) as agents, (select count(*) from registered) as registered,
    (select count(*) from tables) as tables, (select count(*) from types) as types,
    (select count(*) from pg_catalog.pg_class c where c.oid = any ($4)) as tables_there,
    (select count(*) from pg_catalog.pg_type y where y.oid = any ($5)) as types_there
