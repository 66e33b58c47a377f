-- What is granted on anything of ours to the roles of the API and to PUBLIC, agents' tables as one.
with granted as (
    select c.relname, g.grantee, g.privilege_type
    from pg_class c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) g
    where c.relnamespace in ('public'::regnamespace, 'provisioning'::regnamespace)
      and c.relkind in ('r', 'p', 'v', 'm', 'f')
    union all
    select c.relname, g.grantee, g.privilege_type
    from pg_class c, aclexplode(coalesce(c.relacl, acldefault('s', c.relowner))) g
    where c.relnamespace in ('public'::regnamespace, 'provisioning'::regnamespace)
      and c.relkind = 'S'
    union all
    select p.proname, g.grantee, g.privilege_type
    from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) g
    where p.pronamespace in ('public'::regnamespace, 'provisioning'::regnamespace)
    union all
    select n.nspname, g.grantee, g.privilege_type
    from pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) g
    where n.nspname in ('public', 'provisioning')
    union all
    select c.relname || '.' || a.attname, g.grantee, g.privilege_type
    from pg_class c join pg_attribute a on a.attrelid = c.oid, aclexplode(a.attacl) g
    where c.relnamespace in ('public'::regnamespace, 'provisioning'::regnamespace)
), named as (
    select regexp_replace(relname, '^agt_(ada|ben)_', '{agent}_') as name,
        case grantee when 0 then 'public' else grantee::regrole::text end as grantee,
        string_agg(distinct privilege_type, ', ' order by privilege_type) as privileges
    from granted
    where grantee = 0 or grantee::regrole::text in ('anon', 'authenticated', 'service_role')
    group by 1, 2
)
select grantee, privileges, string_agg(name, ' ' order by name)
from named group by 1, 2 order by 1, 2
