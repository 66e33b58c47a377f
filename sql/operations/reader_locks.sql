-- Who keeps others from reading a table of the CRM or of the queue, and the statement that ends that. None of our own sessions, which
-- give way by themselves. Of other roles' sessions everybody sees the name, and not the state.
select format('%s, which has %s locked',
        case when l.pid is null then 'a prepared transaction' else format('session %s of role %s (%s)', l.pid, b.usename, b.application_name) end,
        min(l.relation::regclass::text)) as said,
    case when l.pid is null then format('rollback prepared %L', x.gid) else format('select pg_terminate_backend(%s)', l.pid) end as way_out
from pg_catalog.pg_locks l
join pg_catalog.pg_class c on c.oid = l.relation and c.relnamespace in ('public'::regnamespace, 'provisioning'::regnamespace)
left join pg_catalog.pg_stat_activity b on b.pid = l.pid
left join pg_catalog.pg_locks t on l.pid is null and t.pid is null and t.locktype = 'transactionid'
    and t.virtualtransaction = l.virtualtransaction
left join pg_catalog.pg_prepared_xacts x on x.transaction = t.transactionid
where l.locktype = 'relation' and l.granted and l.mode = 'AccessExclusiveLock'
  and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())
  and l.pid is distinct from pg_backend_pid()
  and provisioning.is_own_session(b.usesysid, b.application_name) is distinct from true
group by l.pid, b.usename, b.application_name, x.gid
order by l.pid
