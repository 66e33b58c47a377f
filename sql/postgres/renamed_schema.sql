-- The schema of ours under another name, and what gives it its name again. No row where there is a schema of that name.
select quote_ident(n.nspname) as schema, quote_ident(r.rolname) as owner,
    format('alter schema %I rename to provisioning;', n.nspname) as statement
from pg_catalog.pg_namespace n
join pg_catalog.pg_roles r on r.oid = n.nspowner
where to_regnamespace('provisioning') is null
  and 4 = (select count(*) from pg_catalog.pg_class c
           where c.relnamespace = n.oid and c.relkind = 'r'
             and c.relname in ('migrations', 'repeatables', 'agent_tables', 'deleted_agents'))
order by n.nspname
limit 1
