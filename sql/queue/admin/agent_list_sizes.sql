-- How much of the disk each agent's tables take, with the indexes, as in agent_list_page.sql. A look at the whole catalog.
select t.agent_id, sum(p.pages)::bigint * current_setting('block_size')::bigint as bytes
from provisioning.agent_tables t
join (
    select c.oid as relation, c.relpages::bigint as pages from pg_catalog.pg_class c where c.relkind in ('r', 'p')
    union all
    select x.indrelid, i.relpages::bigint from pg_catalog.pg_index x join pg_catalog.pg_class i on i.oid = x.indexrelid
    union all
    select c.oid, o.relpages::bigint from pg_catalog.pg_class c join pg_catalog.pg_class o on o.oid = c.reltoastrelid
) p on p.relation = t.relation
group by t.agent_id
