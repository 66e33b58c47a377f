-- To whom most of a project belongs; of one that has nothing yet, whoever asks.
-- $1 schemas of the platform and of this program
with members as (
    select d.classid, d.objid from pg_catalog.pg_depend d where d.deptype = 'e'
), spaces as (
    select n.oid, n.nspname, n.nspowner from pg_catalog.pg_namespace n
    where n.nspname <> all ($1) and not n.nspname ^@ 'pg_' and n.nspname <> 'information_schema'
)
select o.owner::regrole::text as owner
from (
    select r.oid as owner, 0 as weight from pg_catalog.pg_roles r where r.rolname = current_user
    union all
    select c.relowner, 1
    from pg_catalog.pg_class c join spaces n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'S')
      and (c.oid, 'pg_catalog.pg_class'::regclass) not in (select objid, classid from members)
    union all
    select p.proowner, 1
    from pg_catalog.pg_proc p join spaces n on n.oid = p.pronamespace
    where (p.oid, 'pg_catalog.pg_proc'::regclass) not in (select objid, classid from members)
    union all
    select t.typowner, 1
    from pg_catalog.pg_type t join spaces n on n.oid = t.typnamespace
    where t.typtype in ('e', 'd')
      and (t.oid, 'pg_catalog.pg_type'::regclass) not in (select objid, classid from members)
    union all
    select nspowner, 1 from spaces where nspname <> 'public'
) o
group by o.owner
order by sum(o.weight) desc, 1
limit 1
