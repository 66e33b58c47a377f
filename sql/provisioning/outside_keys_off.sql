-- The foreign keys that are off some agents' tables, or were given back and not checked yet.
-- $1 agents
select o.agent_id, o.entry::text as entry, o.relation, o.entry ->> 'name' as table_name, o.key, o.refers_to, o.definition, o.owner, o.is_there,
    o.obstacle, o.statement
from provisioning.keys_off($1) o
where not o.is_whole
