-- What a database grants on new objects, and what it does not grant that a server would, as statements for the role {role}:
-- so that the shadow does the same. `schema` is where it counts, if not everywhere.
-- $1 the role that owns most of the database
with lists as (
    select n.nspname, d.defaclobjtype, d.defaclrole, d.defaclacl,
        case d.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions'
            when 'T' then 'types' else 'schemas' end as what
    from pg_catalog.pg_default_acl d
    left join pg_catalog.pg_namespace n on n.oid = d.defaclnamespace
    where d.defaclrole = to_regrole($1)
), rights as (
    select l.nspname, l.what, 'grant' as act, g.privilege_type, g.grantee, g.is_grantable
    from lists l cross join lateral pg_catalog.aclexplode(l.defaclacl) g
    where g.grantee <> l.defaclrole
    union all
    -- A list that counts everywhere stands for the server's own.
    select l.nspname, l.what, 'revoke', g.privilege_type, g.grantee, false
    from lists l
    cross join lateral pg_catalog.aclexplode(pg_catalog.acldefault(
        case l.defaclobjtype when 'S' then 's' else l.defaclobjtype end, l.defaclrole)) g
    where l.nspname is null and g.grantee <> l.defaclrole
      and not exists (select from pg_catalog.aclexplode(l.defaclacl) o
                      where o.grantee = g.grantee and o.privilege_type = g.privilege_type)
)
select r.nspname::text as schema, r.act, w.grantee,
    format('alter default privileges for role {role}%s %s %s on %s %s %s%s', w.place, r.act, r.privilege_type, r.what,
        case r.act when 'grant' then 'to' else 'from' end, w.grantee,
        case when r.is_grantable then ' with grant option' end) as statement,
    format('alter default privileges for role {role}%s %s %s on %s %s %s', w.place,
        case r.act when 'grant' then 'revoke' else 'grant' end, r.privilege_type, r.what,
        case r.act when 'grant' then 'from' else 'to' end, w.grantee) as inverse
from rights r
cross join lateral (
    select ' in schema ' || quote_ident(r.nspname) as place,
        case when r.grantee = 0 then 'public' else r.grantee::regrole::text end as grantee
) w
order by 1, 2, 3, 4
