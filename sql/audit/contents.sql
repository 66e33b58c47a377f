-- What somebody has made in a database, beside the platform and extensions.
-- $1 schemas of the platform and of this program
with members as (
    select d.classid, d.objid from pg_catalog.pg_depend d where d.deptype = 'e'
), spaces as (
    select n.oid, n.nspname from pg_catalog.pg_namespace n
    where not n.nspname ^@ 'pg_' and n.nspname <> 'information_schema'
      and (n.nspname <> all ($1) or n.nspname ^@ 'provisioning')
      and (n.oid, 'pg_catalog.pg_namespace'::regclass) not in (select objid, classid from members)
)
select format('%I.%I', n.nspname, c.relname)
from pg_catalog.pg_class c join spaces n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'c')
  and (c.oid, 'pg_catalog.pg_class'::regclass) not in (select objid, classid from members)
union all
select 'function ' || p.oid::regprocedure::text
from pg_catalog.pg_proc p join spaces n on n.oid = p.pronamespace
where (p.oid, 'pg_catalog.pg_proc'::regclass) not in (select objid, classid from members)
union all
select format('type %I.%I', n.nspname, t.typname)
from pg_catalog.pg_type t join spaces n on n.oid = t.typnamespace
where t.typtype in ('e', 'd', 'r')
  and (t.oid, 'pg_catalog.pg_type'::regclass) not in (select objid, classid from members)
union all
select 'schema ' || quote_ident(nspname) from spaces where nspname <> 'public'
