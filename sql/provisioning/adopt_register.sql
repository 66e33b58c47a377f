-- Registers what somebody else built for an agent; what was registered. The key share keeps
-- the agent from being deleted before this transaction commits. Of an agent that is registered already it raises the
-- template version, adds to the tables, and forgets what is gone of them.
-- The tables are locked. Types cannot be: what the change of owner has not reached was renamed meanwhile.
-- $1 agent, $2 template version, $3 reference, $4 tables, $5 types, $6 whether it is registered already, $7 names of $5
with agent as materialized (
    select a.id from public.agents a where a.id = $1 for key share
), raised as (
    update provisioning.agents p set template_version = $2
    from agent a
    where $6 and p.agent_id = a.id
    returning p.agent_id
), registered as materialized (
    select a.id as agent_id from agent a where not $6 and provisioning.enter_agent(a.id, $2, $3)
    union all
    select r.agent_id from raised r
), types_there as (
    select y.oid, y.typname
    from pg_catalog.pg_type y
    join unnest($5, $7) planned (oid, name) on planned.oid = y.oid and planned.name = y.typname
    where y.typnamespace = 'public'::regnamespace
), types_gone as (
    delete from provisioning.agent_types t
    where t.agent_id = $1 and not exists (select from pg_catalog.pg_type y where y.oid = t.type)
), tables_gone as (
    delete from provisioning.agent_tables t
    where t.agent_id = $1 and not exists (select from pg_catalog.pg_class c where c.oid = t.relation)
), types as (
    insert into provisioning.agent_types (type, agent_id, type_name)
    select y.oid::regtype, r.agent_id, y.typname from registered r, types_there y
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
    (select count(*) from types_there) as types_there
