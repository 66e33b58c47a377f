-- Who besides the owner may do what with some tables and their sequences: the statement that takes it away, and
-- what provisioning.regain_statement needs to give it back.
-- $1 tables
with tables as materialized (
    select c.oid, n.nspname, c.relname, c.relacl, c.relowner
    from unnest($1) u (oid)
    join pg_catalog.pg_class c on c.oid = u.oid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
), lists as (
    select 'table' as kind, t.nspname, t.relname, null::name as attname, t.relacl as acl, t.relowner from tables t
    union all
    select 'table', t.nspname, t.relname, a.attname, a.attacl, t.relowner
    from tables t
    join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attacl is not null and not a.attisdropped
    union all
    -- Of serial columns (a) and of identity columns (i).
    select 'sequence', n.nspname, c.relname, null, c.relacl, c.relowner
    from tables t
    join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_class'::regclass
        and d.refobjid = t.oid and d.refobjsubid > 0 and d.deptype in ('a', 'i')
        and d.classid = 'pg_catalog.pg_class'::regclass
    join pg_catalog.pg_class c on c.oid = d.objid and c.relkind = 'S'
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
)
select
    format('revoke all on %s %I.%I from %s cascade', l.kind, l.nspname, l.relname,
        case when g.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(g.grantee)) end) as revoke,
    jsonb_strip_nulls(jsonb_build_object(
        'what', 'grant', 'on', l.kind, 'schema', l.nspname, 'name', l.relname, 'column', l.attname,
        'privileges', jsonb_agg(lower(g.privilege_type collate "C") order by g.privilege_type),
        'to', case when g.grantee <> 0 then pg_get_userbyid(g.grantee) end,
        'option', g.is_grantable))::text as entry
from lists l, aclexplode(l.acl) g
where g.grantee <> l.relowner
group by l.kind, l.nspname, l.relname, l.attname, g.grantee, g.is_grantable
order by 1
