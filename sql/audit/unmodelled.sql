-- What is a project's own and no fact: told, since nobody compares it.
-- $1 schemas of the platform and of this program
with members as (
    select d.classid, d.objid from pg_catalog.pg_depend d where d.deptype = 'e'
), spaces as (
    select n.oid, n.nspname from pg_catalog.pg_namespace n
    where n.nspname <> all ($1) and not n.nspname ^@ 'pg_' and n.nspname <> 'information_schema'
)
select 'aggregate ' || p.oid::regprocedure::text as object
from pg_catalog.pg_proc p join spaces n on n.oid = p.pronamespace
where p.prokind = 'a' and (p.oid, 'pg_catalog.pg_proc'::regclass) not in (select objid, classid from members)
union all
select format('%s %I.%I', case typtype when 'r' then 'range type' when 'm' then 'multirange type' else 'base type' end,
              n.nspname, t.typname)
from pg_catalog.pg_type t join spaces n on n.oid = t.typnamespace
where (t.typtype = 'r' or t.typtype = 'b' and t.typcategory <> 'A')
  and (t.oid, 'pg_catalog.pg_type'::regclass) not in (select objid, classid from members)
union all
select format('foreign table %I.%I', n.nspname, c.relname)
from pg_catalog.pg_class c join spaces n on n.oid = c.relnamespace where c.relkind = 'f'
union all
select 'operator ' || o.oid::regoperator::text
from pg_catalog.pg_operator o join spaces n on n.oid = o.oprnamespace
where (o.oid, 'pg_catalog.pg_operator'::regclass) not in (select objid, classid from members)
union all
select format('collation %I.%I', n.nspname, c.collname)
from pg_catalog.pg_collation c join spaces n on n.oid = c.collnamespace
union all
select format('statistics %I.%I', n.nspname, s.stxname)
from pg_catalog.pg_statistic_ext s join spaces n on n.oid = s.stxnamespace
union all
select format('text search configuration %I.%I', n.nspname, c.cfgname)
from pg_catalog.pg_ts_config c join spaces n on n.oid = c.cfgnamespace
order by 1
