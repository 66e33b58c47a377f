-- What is registered for agents: versions, tables and types that are still the ones registered.
-- $1 prefixes; null is all
select
    a.agent_id, a.agent_prefix, a.template_version, a.reference,
    array(
        select t.relation::oid
        from provisioning.agent_tables t
        join pg_catalog.pg_class c on c.oid = t.relation and c.relname = t.table_name
        where t.agent_id = a.agent_id
    ) as tables,
    array(
        select t.type::oid
        from provisioning.agent_types t
        join pg_catalog.pg_type y on y.oid = t.type and y.typname = t.type_name
        where t.agent_id = a.agent_id
    ) as types
from provisioning.agents a
where $1 is null or a.agent_prefix = any ($1)
order by a.agent_prefix
