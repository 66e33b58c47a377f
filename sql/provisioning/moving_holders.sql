-- Who has a table or the row of an agent locked so that a move cannot lock it, with the statement that ends that session.
-- $1 prefix
with held as materialized (
    select distinct l.pid, l.relation::regclass::text as name
    from pg_catalog.pg_locks l
    join provisioning.agent_tables t on t.relation = l.relation
    join provisioning.agents p on p.agent_id = t.agent_id and p.agent_prefix = $1
    where l.locktype = 'relation' and l.granted and l.pid is distinct from pg_backend_pid()
      and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())
      and l.mode not in ('AccessShareLock', 'RowShareLock')
    union
    select l.pid, 'the row of the agent'
    from public.agents a
    join pg_catalog.pg_locks l on l.locktype = 'transactionid' and l.granted and l.transactionid = a.xmax
    where a.agent_prefix = $1 and l.pid is distinct from pg_backend_pid()
)
select format('backend %s (user %s, %s, transaction open for %s s) has %s locked: wait for it, or, if nobody needs it: '
        'select pg_terminate_backend(%1$s);',
    a.pid, a.usename, coalesce(nullif(a.application_name, ''), a.backend_type),
    coalesce(round(extract(epoch from clock_timestamp() - a.xact_start))::text, '?'), string_agg(h.name, ', ' order by h.name))
from held h
join pg_catalog.pg_stat_activity a on a.pid = h.pid
group by a.pid, a.usename, a.application_name, a.backend_type, a.xact_start
order by a.xact_start
