-- What a project has beside its tables, views and enums and what hangs on those, one fact a row as in
-- sql/schema/catalog.sql: schemas, extensions, composite types, domains, sequences that belong to no column, functions
-- and views by the statements that make them, publications, owners and grants. `home` is what the fact goes with.
-- $1 schemas of the platform and of this program
with members as (
    select d.classid, d.objid from pg_catalog.pg_depend d where d.deptype = 'e'
), spaces as (
    select n.oid, n.nspname, n.nspowner, n.nspacl, quote_ident(n.nspname) as relation
    from pg_catalog.pg_namespace n
    where n.nspname <> all ($1) and not n.nspname ^@ 'pg_' and n.nspname <> 'information_schema'
      and (n.oid, 'pg_catalog.pg_namespace'::regclass) not in (select objid, classid from members)
), routines as (
    -- A range type brings functions of its own (i).
    select p.oid, p.proowner, p.proacl, p.oid::regprocedure::text as relation,
        case p.prokind when 'p' then 'procedure ' else 'function ' end || p.oid::regprocedure::text as called
    from pg_catalog.pg_proc p join spaces n on n.oid = p.pronamespace
    where p.prokind in ('f', 'p', 'w')
      and not exists (select from pg_catalog.pg_depend d
                      where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid and d.deptype = 'i')
      and (p.oid, 'pg_catalog.pg_proc'::regclass) not in (select objid, classid from members)
), relations as (
    select c.oid, c.relkind, c.relpersistence, c.relowner, c.relacl, c.reloptions, format('%I.%I', n.nspname, c.relname) as relation
    from pg_catalog.pg_class c join spaces n on n.oid = c.relnamespace
    where c.relkind in ('v', 'm', 'S') and c.relpersistence <> 't'
      and (c.oid, 'pg_catalog.pg_class'::regclass) not in (select objid, classid from members)
      and not (c.relkind = 'S' and exists (
          select from pg_catalog.pg_depend d
          where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid
            and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjsubid > 0 and d.deptype in ('a', 'i')))
), types as (
    select t.oid, t.typtype, t.typrelid, t.typbasetype, t.typtypmod, t.typnotnull, t.typdefault, t.typowner,
        format('%I.%I', n.nspname, t.typname) as relation
    from pg_catalog.pg_type t join spaces n on n.oid = t.typnamespace
    left join pg_catalog.pg_class c on c.oid = t.typrelid
    where (t.typtype = 'd' or t.typtype = 'c' and c.relkind = 'c')
      and (t.oid, 'pg_catalog.pg_type'::regclass) not in (select objid, classid from members)
), lists as (
    select 'schema ' || relation as what, relation as home, nspacl as acl, nspowner as owner from spaces
    union all
    select called, relation, coalesce(proacl, pg_catalog.acldefault('f', proowner)), proowner from routines
    union all
    select 'sequence ' || relation, relation, relacl, relowner from relations where relkind = 'S'
)
select 'schema' as kind, relation as home, relation, '' as part, '' as definition from spaces where nspname <> 'public'
union all
select 'extension', quote_ident(extname), quote_ident(extname), '', '' from pg_catalog.pg_extension where extname <> 'plpgsql'
union all
select 'type', relation, relation, '',
    case typtype when 'c' then format('(%s)', (
        select string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' order by a.attnum)
        from pg_catalog.pg_attribute a where a.attrelid = typrelid and a.attnum > 0 and not a.attisdropped))
    else concat_ws(' ', 'domain', format_type(typbasetype, typtypmod), 'default ' || typdefault,
        case when typnotnull then 'not null' end, (
        select string_agg(format('constraint %I %s', k.conname, pg_get_constraintdef(k.oid)), ' ' order by k.conname)
        from pg_catalog.pg_constraint k where k.contypid = types.oid and k.contype = 'c')) end
from types
union all
select 'sequence', r.relation, r.relation, '',
    case r.relpersistence when 'u' then 'unlogged ' else '' end
    || format('as %s start with %s increment by %s minvalue %s maxvalue %s cache %s%s',
        format_type(q.seqtypid, null), q.seqstart, q.seqincrement, q.seqmin, q.seqmax, q.seqcache,
        case when q.seqcycle then ' cycle' end)
from relations r join pg_catalog.pg_sequence q on q.seqrelid = r.oid
union all
select 'function', relation, relation, '', rtrim(replace(pg_get_functiondef(oid), chr(13), ''), chr(10)) from routines
union all
select 'view', relation, relation, '', format('CREATE %s %s%s AS%s%s',
    case relkind when 'm' then 'MATERIALIZED VIEW' else 'OR REPLACE VIEW' end, relation,
    ' WITH (' || array_to_string(reloptions, ', ') || ')', chr(10), rtrim(pg_get_viewdef(oid), ';'))
from relations where relkind in ('v', 'm')
union all
select 'publication options', quote_ident(pubname), quote_ident(pubname), '',
    concat_ws(' ', case when puballtables then 'for all tables' end, 'with (publish = ' || quote_literal(concat_ws(', ',
        case when pubinsert then 'insert' end, case when pubupdate then 'update' end,
        case when pubdelete then 'delete' end, case when pubtruncate then 'truncate' end)) || ')')
from pg_catalog.pg_publication
-- The platform makes it for itself.
where pubname <> 'supabase_realtime_messages_publication'
union all
select 'grant', l.home, l.what, case when g.grantee = 0 then 'public' else g.grantee::regrole::text end,
    string_agg(lower(g.privilege_type collate "C") || case when g.is_grantable then ' with grant option' else '' end,
               ', ' order by g.privilege_type)
from lists l, pg_catalog.aclexplode(l.acl) g
where g.grantee <> l.owner
group by 2, 3, 4
union all
select 'owner', o.home, o.what, '', o.owner::regrole::text
from (
    select called as what, relation as home, proowner as owner from routines
    union all
    select 'schema ' || relation, relation, nspowner from spaces where nspname <> 'public'
    union all
    select 'type ' || relation, relation, typowner from types
    union all
    select 'sequence ' || relation, relation, relowner from relations where relkind = 'S'
) o
