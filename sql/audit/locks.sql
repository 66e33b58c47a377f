-- The tables of this database that somebody has locked for himself alone, or waits to, and who that is.
select format('%I.%I', n.nspname, c.relname) as relation,
    concat_ws(' ', 'process', l.pid::text, 'of', a.usename, '(' || nullif(a.application_name, '') || ')',
              case when l.granted then null else 'which waits for it' end) as holder
from pg_catalog.pg_locks l
join pg_catalog.pg_class c on c.oid = l.relation
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_stat_activity a on a.pid = l.pid
where l.locktype = 'relation' and l.mode = 'AccessExclusiveLock' and c.relkind in ('r', 'p', 'v', 'm')
  and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())
  and l.pid <> pg_backend_pid()
order by l.granted desc, 1, 2
