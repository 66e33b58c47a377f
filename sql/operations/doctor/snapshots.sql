-- Transactions of this database that have kept their snapshot for an hour or longer, the oldest first; and sessions of which
-- this role sees nothing. One row, and one more for each but the first.
with sessions as (
    select a.pid, a.usename::text as role, a.application_name as application, coalesce(a.state, a.backend_type) as state, a.xact_start as since,
        format('select pg_terminate_backend(%s);', a.pid) as way_out
    from pg_catalog.pg_stat_activity a
    where a.datname = current_database() and (a.backend_xmin is not null or a.backend_xid is not null)
    union all
    select null, p.owner::text, p.gid, 'prepared', p.prepared, format('rollback prepared %L;', p.gid)
    from pg_catalog.pg_prepared_xacts p
    where p.database = current_database()
), hidden as (
    select count(*) as sessions
    from pg_catalog.pg_stat_activity a
    where a.datname = current_database() and a.query = '<insufficient privilege>'
)
select h.sessions as hidden, s.pid, s.role, s.application, s.state, s.way_out,
    floor(extract(epoch from now() - s.since) / 60)::bigint as minutes
from hidden h left join sessions s on s.since < now() - interval '1 hour'
order by s.since
