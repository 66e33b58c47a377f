-- A table of the ledger, and whether it can be read without running code of its owner: a view, a rule, a policy, a cast of
-- a type or a generated column could. Reads catalogs only. What PostgreSQL itself has is no dependency in pg_depend.
-- $1 its name in schema provisioning
select format('%s %I.%I', case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'f' then 'foreign table'
        when 'S' then 'sequence' when 'c' then 'type' when 'i' then 'index' else 'table' end, n.nspname, c.relname) as object,
    quote_ident(r.rolname) as owner, quote_ident(current_user) as trusted,
    c.relkind = 'r' and not c.relhasrules
        and not exists (select from pg_catalog.pg_inherits i where i.inhparent = c.oid)
        and not exists (
            select from pg_catalog.pg_attribute a
            join pg_catalog.pg_type t on t.oid = a.atttypid
            where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
              and (a.attgenerated <> '' or t.typnamespace <> 'pg_catalog'::regnamespace))
        and (r.rolsuper or r.rolname = current_user or not row_security_active(c.oid) or not exists (
            select from pg_catalog.pg_policy p
            join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_policy'::regclass and d.objid = p.oid
            where p.polrelid = c.oid and not (d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = c.oid))) as is_plain
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace and n.nspname = 'provisioning'
join pg_catalog.pg_roles r on r.oid = c.relowner
where c.relname = $1
