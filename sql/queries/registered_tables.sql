-- An agent's registered tables, quoted by the server, and whether each is still the one registered.
-- $1 agent
select
    a.reference = 'foreign_key' as keyed,
    -- Null where somebody dropped it.
    case when c.oid is not null then format('%I.%I', n.nspname, c.relname) end as name,
    coalesce(c.relname = t.table_name, false) as ours,
    t.table_name
from provisioning.agents a
left join provisioning.agent_tables t on t.agent_id = a.agent_id
left join pg_catalog.pg_class c on c.oid = t.relation
left join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where a.agent_id = $1
order by t.relation::oid desc
