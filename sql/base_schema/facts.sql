-- What the base schema consists of beside the columns, constraints and the like of its tables, one object a row, as
-- in catalog.sql: schemas, functions, views, sequences that belong to no column, the triggers on auth.users, owners,
-- and what PUBLIC and the roles of the API may do. Catalogs only, so every role gets the same answer.
-- A grant is one privilege: `relation` is what follows "grant", `part` the grantee.
-- $1 names of our functions in schema public, $2 of our tables there, $3 of our triggers on auth.users
with ours as (
    select n.oid, n.nspname, n.nspowner, n.nspacl from pg_catalog.pg_namespace n
    where n.nspname in ('provisioning', 'provisioning_trash')
), routines as (
    select p.*, p.oid::regprocedure::text as relation
    from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    where n.nspname = 'provisioning'
       or n.nspname = 'public' and p.proname = any ($1) and p.prorettype <> 'trigger'::regtype
), relations as (
    select c.*, format('%I.%I', n.nspname, c.relname) as relation,
        exists (select from pg_catalog.pg_depend d
                where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid
                  and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjsubid > 0
                  and d.deptype in ('a', 'i')) as owned,
        (select format('%s.%I', d.refobjid::regclass, a.attname)
         from pg_catalog.pg_depend d
         join pg_catalog.pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
         where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid
           and d.refclassid = 'pg_catalog.pg_class'::regclass and d.deptype = 'i' and c.relkind = 'S') as identity
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'provisioning' and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
       or n.nspname = 'public' and (
           c.relname = any ($2) and c.relkind in ('r', 'p', 'v', 'm', 'f')
           or c.relkind = 'S' and exists (
               select from pg_catalog.pg_depend d join pg_catalog.pg_class t on t.oid = d.refobjid
               where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i')
                 and t.relnamespace = n.oid and t.relname = any ($2)))
), lists as (
    select 'schema ' || quote_ident(nspname) as what, '' as column_name, nspacl as acl from ours
    union all
    select 'function ' || relation, '', coalesce(proacl, pg_catalog.acldefault('f', proowner)) from routines
    union all
    select case relkind when 'S' then 'sequence ' else '' end || relation, '', relacl from relations
    union all
    select r.relation, format(' (%I)', a.attname), a.attacl
    from relations r join pg_catalog.pg_attribute a on a.attrelid = r.oid
    where a.attnum > 0 and not a.attisdropped and a.attacl is not null
)
select 'schema' as kind, quote_ident(nspname) as relation, '' as part, '' as definition from ours
union all
select 'function', relation, '', concat_ws(' ',
    format('(%s)', pg_get_function_arguments(oid)), 'returns ' || pg_get_function_result(oid),
    'language ' || (select l.lanname from pg_catalog.pg_language l where l.oid = prolang),
    case provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end,
    case proparallel when 's' then 'parallel safe' when 'r' then 'parallel restricted' end,
    case when proisstrict then 'strict' end, case when proleakproof then 'leakproof' end,
    case when prosecdef then 'security definer' end,
    'set ' || array_to_string(proconfig, ', set '),
    'body ' || encode(sha256(convert_to(coalesce(pg_get_function_sqlbody(oid), prosrc), 'UTF8')), 'hex'))
from routines
union all
select 'view', relation, '', concat_ws(' ', case relkind when 'm' then 'materialized' end,
    format('(%s)', (select string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' order by a.attnum)
                    from pg_catalog.pg_attribute a
                    where a.attrelid = relations.oid and a.attnum > 0 and not a.attisdropped)),
    'with (' || array_to_string(reloptions, ', ') || ')',
    'query ' || encode(sha256(convert_to(pg_get_viewdef(oid), 'UTF8')), 'hex'))
from relations where relkind in ('v', 'm')
union all
select 'sequence', r.relation, coalesce(r.identity, ''),
    format('as %s start with %s increment by %s minvalue %s maxvalue %s cache %s%s',
        format_type(q.seqtypid, null), q.seqstart, q.seqincrement, q.seqmin, q.seqmax, q.seqcache,
        case when q.seqcycle then ' cycle' end)
from relations r join pg_catalog.pg_sequence q on q.seqrelid = r.oid
where not r.owned or r.identity is not null
union all
-- Not where it begins and ends: which ids agents get is up to each database.
select 'sequence', r.relation, format('%s.%I', d.refobjid::regclass, a.attname),
    format('as %s increment by %s cache %s%s', format_type(q.seqtypid, null), q.seqincrement, q.seqcache,
        case when q.seqcycle then ' cycle' end)
from relations r
join pg_catalog.pg_sequence q on q.seqrelid = r.oid
join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_class'::regclass and d.objid = r.oid and d.deptype = 'a'
join pg_catalog.pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
where r.relation = 'public.agents_id_seq'
union all
select 'trigger', 'auth.users', quote_ident(g.tgname),
    pg_get_triggerdef(g.oid)
    || case g.tgenabled when 'O' then '' when 'D' then ' (disabled)' when 'A' then ' (always)' else ' (replication)' end
from pg_catalog.pg_trigger g
join pg_catalog.pg_class c on c.oid = g.tgrelid and c.relname = 'users'
join pg_catalog.pg_namespace n on n.oid = c.relnamespace and n.nspname = 'auth'
where g.tgname = any ($3) and not g.tgisinternal
union all
select 'grant', format('%s%s on %s', lower(g.privilege_type collate "C"), l.column_name, l.what),
    case when g.grantee = 0 then 'public' else g.grantee::regrole::text end,
    case when bool_or(g.is_grantable) then 'with grant option' else '' end
from lists l, pg_catalog.aclexplode(l.acl) g
where g.grantee = 0 or g.grantee = any (array(
    select r.oid from pg_catalog.pg_roles r where r.rolname in ('anon', 'authenticated', 'service_role')))
group by 2, 3
union all
select 'owner', o.what, '', o.owner::regrole::text
from (
    select 'function ' || relation as what, proowner as owner from routines
    union all
    select case relkind when 'S' then 'sequence ' when 'v' then 'view ' when 'm' then 'materialized view '
               when 'f' then 'foreign table ' else 'table ' end || relation, relowner
    from relations where relkind <> 'S' or not owned
    union all
    select 'schema ' || quote_ident(nspname), nspowner from ours
    union all
    select 'type ' || t.oid::regtype, t.typowner
    from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace
    where n.nspname = 'public' and t.typname = 'role'
) o
