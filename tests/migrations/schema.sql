-- Everything in our two schemas and on auth.users, in the server's own words.
with ours as (
    select oid from pg_namespace where nspname in ('public', 'provisioning', 'provisioning_trash')
)
select format('schema %s owner %s acl %s', nspname, nspowner::regrole,
    (select string_agg(x::text, ',' order by x::text) from unnest(nspacl) x))
from pg_namespace where oid in (select oid from ours)
union all
select format('%s %s owner %s rls %s %s acl %s options %s', c.relkind, c.oid::regclass, c.relowner::regrole,
    c.relrowsecurity, c.relforcerowsecurity,
    (select string_agg(x::text, ',' order by x::text) from unnest(c.relacl) x), c.reloptions)
from pg_class c where c.relnamespace in (select oid from ours) and c.relkind <> 'i'
union all
select format('column %s.%s %s %s %s %s %s', c.oid::regclass, a.attname, format_type(a.atttypid, a.atttypmod),
    a.attnotnull, a.attidentity, a.attacl, pg_get_expr(d.adbin, d.adrelid))
from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
where c.relnamespace in (select oid from ours) and c.relkind <> 'i'
union all
select format('constraint %s %s %s', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid))
from pg_constraint k where k.connamespace in (select oid from ours)
union all
select pg_get_indexdef(i.indexrelid)
from pg_index i join pg_class c on c.oid = i.indexrelid where c.relnamespace in (select oid from ours)
union all
select format('policy %s', p) from pg_policies p where p.schemaname in ('public', 'provisioning')
union all
select format('trigger %s %s', pg_get_triggerdef(t.oid), t.tgenabled)
from pg_trigger t where not t.tgisinternal
union all
select format('function %s owner %s acl %s %s', p.oid::regprocedure, p.proowner::regrole,
    (select string_agg(x::text, ',' order by x::text) from unnest(p.proacl) x), pg_get_functiondef(p.oid))
from pg_proc p where p.pronamespace in (select oid from ours)
union all
select format('type %s %s', t.oid::regtype, (select array_agg(enumlabel order by enumsortorder) from pg_enum where enumtypid = t.oid))
from pg_type t where t.typnamespace in (select oid from ours) and t.typtype = 'e'
union all
select format('default privileges of %s for %s: %s', defaclrole::regrole, defaclobjtype, defaclacl)
from pg_default_acl
order by 1
