-- What works today and is a trap, or cannot work: foreign keys without an index, tables without row security or policies.
-- $1 schemas of the platform and of this program
with tables as (
    select c.oid, format('%I.%I', n.nspname, c.relname) as relation, n.nspname, c.relrowsecurity, c.relacl, c.relowner
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and n.nspname <> all ($1) and not n.nspname ^@ 'pg_' and n.nspname <> 'information_schema'
      and not exists (select from pg_catalog.pg_depend d
                      where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
), api as (
    -- Who calls from outside may do what in which table.
    select t.oid, string_agg(distinct format('%s to %s', lower(g.privilege_type collate "C"), g.grantee::regrole), ', ') as rights
    from tables t, pg_catalog.aclexplode(t.relacl) g
    where g.grantee = any (array(select r.oid from pg_catalog.pg_roles r where r.rolname in ('anon', 'authenticated')))
      and g.privilege_type in ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
    group by t.oid
)
select 'unindexed_foreign_key' as what, t.relation, quote_ident(k.conname) as part,
    (select string_agg(quote_ident(a.attname), ', ' order by x.place)
     from unnest(k.conkey) with ordinality x (attnum, place)
     join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = x.attnum) as detail
from pg_catalog.pg_constraint k join tables t on t.oid = k.conrelid
where k.contype = 'f' and k.conparentid = 0
  and not exists (
      select from pg_catalog.pg_index i
      where i.indrelid = k.conrelid and i.indisvalid and i.indpred is null
        and (i.indkey::int2[])[0 : array_length(k.conkey, 1) - 1] @> k.conkey
        and k.conkey @> (i.indkey::int2[])[0 : array_length(k.conkey, 1) - 1])
union all
select 'table_without_row_security', t.relation, '', a.rights
from tables t join api a on a.oid = t.oid
where not t.relrowsecurity and t.nspname = 'public'
union all
select 'row_security_without_policy', t.relation, '', a.rights
from tables t join api a on a.oid = t.oid
where t.relrowsecurity and not exists (select from pg_catalog.pg_policy p where p.polrelid = t.oid)
order by 1, 2, 3
