-- Who holds a lock on a table that `migrate` locks: a session other than this one, or a prepared transaction.
select case
    when l.pid is null then format(
        'the prepared transaction %L has a lock on %s; to end it: rollback prepared %1$L;',
        (select x.gid from pg_catalog.pg_prepared_xacts x
         where l.virtualtransaction = '-1/' || x.transaction::text), string_agg(l.name, ', ' order by l.name))
    else format(
        'backend %s of role %s (%s, %s) has a lock on %s; to end it: select pg_terminate_backend(%1$s);',
        l.pid, quote_ident(a.usename), coalesce(nullif(a.application_name, ''), 'no application name'),
        coalesce(a.state, 'state not shown'), string_agg(l.name, ', ' order by l.name))
    end as holder
from (
    select distinct k.pid, k.virtualtransaction, format('%I.%I', n.nspname, c.relname) as name
    from pg_catalog.pg_locks k
    join pg_catalog.pg_class c on c.oid = k.relation
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where k.locktype = 'relation' and k.granted and k.pid is distinct from pg_backend_pid()
      and k.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())
      and c.relkind in ('r', 'p')
      and (n.nspname = 'provisioning'
           or n.nspname = 'public' and c.relname in (
               'users', 'agents', 'whatsapp_configuration', 'businesses', 'user_businesses', 'business_invitations',
               'meta_apps', 'whatsapp_numbers', 'agent_states')
           or n.nspname = 'auth' and c.relname = 'users')
) l
left join pg_catalog.pg_stat_activity a on a.pid = l.pid
group by l.pid, l.virtualtransaction, a.usename, a.application_name, a.state, a.xact_start
order by a.xact_start
