-- The tables and enums that the registry has, by oid.
select t.relation::oid from provisioning.agent_tables t
union
select t.type::oid from provisioning.agent_types t
