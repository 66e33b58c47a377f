-- Views, of whatever name and schema, that show rows of agents' tables past row security: whoever may read the view and
-- may not pass row security sees the rows that the view's owner sees. Rules are few, so this begins with them.
-- $1 prefixes of agents; null is all
with recursive uses as materialized (
    select distinct r.ev_class as view, d.refobjid as relation
    from pg_catalog.pg_rewrite r
    join pg_catalog.pg_class v on v.oid = r.ev_class and v.relkind in ('v', 'm')
    join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = r.oid
        and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid <> r.ev_class
), shown as (
    -- The role that looks at the table is the owner of the view nearest to it that does not look as its reader.
    select u.view, t.table_name, a.agent_prefix, looks.role
    from uses u
    join provisioning.agent_tables t on t.relation = u.relation
    join provisioning.agents a on a.agent_id = t.agent_id
    join pg_catalog.pg_class v on v.oid = u.view
    cross join lateral (
        select case when v.relkind = 'm' or not coalesce(v.reloptions && '{security_invoker=true,security_invoker=on,security_invoker=1,security_invoker=yes}', false)
                    then v.relowner end as role
    ) looks
    where $1 is null or a.agent_prefix = any ($1)
    union
    select u.view, s.table_name, s.agent_prefix, coalesce(s.role, looks.role)
    from shown s
    join uses u on u.relation = s.view
    join pg_catalog.pg_class v on v.oid = u.view
    cross join lateral (
        select case when v.relkind = 'm' or not coalesce(v.reloptions && '{security_invoker=true,security_invoker=on,security_invoker=1,security_invoker=yes}', false)
                    then v.relowner end as role
    ) looks
)
select format('%I.%I', n.nspname, v.relname) as view, v.relowner::regrole::text as owner,
    array_agg(distinct s.agent_prefix::text order by s.agent_prefix::text) as agents,
    readers.names as readers
from shown s
join pg_catalog.pg_roles r on r.oid = s.role and (r.rolsuper or r.rolbypassrls)
join pg_catalog.pg_class v on v.oid = s.view
join pg_catalog.pg_namespace n on n.oid = v.relnamespace
cross join lateral (
    select array_agg(distinct case when g.grantee = 0 then 'public' else g.grantee::regrole::text end) as names
    from (
        select v.relacl as acl
        union all
        select c.attacl from pg_catalog.pg_attribute c where c.attrelid = v.oid and c.attacl is not null
    ) l, aclexplode(l.acl) g
    left join pg_catalog.pg_roles o on o.oid = g.grantee
    where g.privilege_type = 'SELECT' and g.grantee <> v.relowner and not coalesce(o.rolsuper or o.rolbypassrls, false)
) readers
where readers.names is not null
group by 1, 2, 4
order by 1
