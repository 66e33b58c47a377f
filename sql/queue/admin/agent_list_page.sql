-- What a page of a long list shows of each agent beside agent_list.sql.
-- The size is what the last VACUUM or ANALYZE of each table saw: it asks the file system nothing, and waits for no lock.
-- $1 agents
select
    k.id as agent_id, s.tables, s.bytes, s.measured_age,
    last.id as job_id, last.kind as job_kind, last.state as job_state
from unnest($1::bigint[]) k (id)
cross join lateral (
    select count(*) as tables,
        (sum(p.pages) filter (where p.is_known))::bigint * current_setting('block_size')::bigint as bytes,
        extract(epoch from clock_timestamp() - min(p.seen_at) filter (where p.is_known))::float8 as measured_age
    from provisioning.agent_tables t
    join pg_catalog.pg_class c on c.oid = t.relation
    cross join lateral (
        select c.reltuples >= 0 as is_known,
            c.relpages::bigint + coalesce((
                    select sum(i.relpages) from pg_catalog.pg_index x join pg_catalog.pg_class i on i.oid = x.indexrelid
                    where x.indrelid = c.oid), 0)
                + coalesce((select o.relpages from pg_catalog.pg_class o where o.oid = c.reltoastrelid), 0) as pages,
            greatest(pg_stat_get_last_vacuum_time(c.oid), pg_stat_get_last_autovacuum_time(c.oid),
                pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid)) as seen_at
    ) p
    where t.agent_id = k.id
) s
left join lateral (
    select j.id, j.kind, j.state from provisioning.jobs j where j.agent_id = k.id order by j.id desc limit 1
) last on true
