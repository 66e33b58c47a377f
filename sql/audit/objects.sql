-- The tables, views and enums that are a project's own, and those of the platform that bear a policy or a trigger.
-- What an extension has made is not looked at.
-- $1 schemas of the platform and of this program
with members as (
    select d.classid, d.objid from pg_catalog.pg_depend d where d.deptype = 'e'
), relations as (
    select c.oid, c.relkind, n.nspname, n.nspname = any ($1) as of_platform,
        format('%I.%I', n.nspname, c.relname) as name
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm') and c.relpersistence <> 't'
      and not n.nspname ^@ 'pg_' and n.nspname <> 'information_schema'
      and (c.oid, 'pg_catalog.pg_class'::regclass) not in (select objid, classid from members)
)
select r.oid, r.name,
    case when r.of_platform then 'platform' when r.relkind in ('r', 'p') then 'table' when r.relkind = 'v' then 'view'
         else 'materialized view' end as what
from relations r
where not r.of_platform
   or exists (select from pg_catalog.pg_policy p where p.polrelid = r.oid)
   or exists (select from pg_catalog.pg_trigger t
              join pg_catalog.pg_proc f on f.oid = t.tgfoid
              join pg_catalog.pg_namespace n on n.oid = f.pronamespace
              where t.tgrelid = r.oid and not t.tgisinternal and n.nspname <> all ($1))
union all
select t.oid, format('%I.%I', n.nspname, t.typname), 'type'
from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace
where t.typtype = 'e' and n.nspname <> all ($1)
  and not n.nspname ^@ 'pg_' and n.nspname <> 'information_schema'
  and (t.oid, 'pg_catalog.pg_type'::regclass) not in (select objid, classid from members)
