-- What a database grants on new objects, as statements for the role {role}: so that the shadow grants the same.
-- $1 the role that owns most of the database
select format('alter default privileges for role {role}%s grant %s on %s to %s%s',
    ' in schema ' || quote_ident(n.nspname),
    g.privilege_type,
    case d.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions'
        when 'T' then 'types' else 'schemas' end,
    case when g.grantee = 0 then 'public' else g.grantee::regrole::text end,
    case when g.is_grantable then ' with grant option' else '' end) as statement,
    case when g.grantee = 0 then 'public' else g.grantee::regrole::text end as grantee
from pg_catalog.pg_default_acl d
left join pg_catalog.pg_namespace n on n.oid = d.defaclnamespace
cross join lateral pg_catalog.aclexplode(d.defaclacl) g
where d.defaclrole = to_regrole($1) and g.grantee <> d.defaclrole
  and (n.nspname is null or n.nspname = 'public')
