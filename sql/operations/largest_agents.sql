-- The agents whose tables take most of the disk, as far as the last VACUUM or ANALYZE of each saw it. Asks the file system nothing.
-- $1 how many
select a.agent_prefix, sum(p.pages)::bigint * current_setting('block_size')::bigint as bytes
from provisioning.agents a
join provisioning.agent_tables t using (agent_id)
join pg_catalog.pg_class c on c.oid = t.relation
cross join lateral (
    select c.relpages::bigint + coalesce((
            select sum(i.relpages) from pg_catalog.pg_index x join pg_catalog.pg_class i on i.oid = x.indexrelid
            where x.indrelid = c.oid), 0)
        + coalesce((select o.relpages from pg_catalog.pg_class o where o.oid = c.reltoastrelid), 0) as pages
) p
group by a.agent_prefix
having sum(p.pages) > 0
order by bytes desc, a.agent_prefix
limit $1
