-- Who may put things in schema public, besides its owner, the owner of our schema, the worker's role and superusers.
with trusted as (
    select quote_ident(r.rolname) as name, r.oid
    from pg_catalog.pg_namespace n join pg_catalog.pg_roles r on r.oid = n.nspowner
    where n.nspname = 'provisioning'
)
select coalesce(quote_ident(r.rolname), 'every role') as name,
    format('revoke create on schema public from %s;', coalesce(quote_ident(r.rolname), 'public')) as fix
from pg_catalog.pg_namespace n
cross join lateral pg_catalog.aclexplode(n.nspacl) a
left join pg_catalog.pg_roles r on r.oid = a.grantee
where n.nspname = 'public' and a.privilege_type = 'CREATE' and a.grantee <> n.nspowner
  and r.rolsuper is distinct from true
  and r.rolname is distinct from 'pg_database_owner'
  and r.oid is distinct from (select t.oid from trusted t)
  and (r.oid is null or r.oid is distinct from provisioning.worker_role())
order by 1
