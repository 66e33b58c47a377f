-- An agent's registered tables. The size waits for a lock that every reader gets, except while
-- the table is being dropped or altered.
-- $1 agent, $2 whether to measure
select
    t.table_name,
    c.oid is not null and d.relation is null as present,
    d.displacement,
    case when $2 then pg_total_relation_size(c.oid) end as bytes,
    case when c.reltuples >= 0 then c.reltuples::bigint end as rows
from provisioning.agent_tables t
left join pg_catalog.pg_class c on c.oid = t.relation and c.relkind in ('r', 'p')
left join provisioning.displaced_tables d on d.relation = t.relation
where t.agent_id = $1
order by t.relation::oid
