-- All there is to know of some tables and types, one fact a row: what it belongs to (by oid and by bare name), what it
-- is or hangs on, its name there, and a definition that two facts share only if they are the same. With an empty
-- search_path every name in a definition is qualified. What is as the server makes it by itself is no fact.
-- $1 tables, $2 types, $3 to whom each table belongs
with tables as materialized (
    select c.*, n.nspname, format('%I.%I', n.nspname, c.relname) as relation, u.whose
    from unnest($1, $3) u (oid, whose)
    join pg_catalog.pg_class c on c.oid = u.oid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
), sequences as materialized (
    -- Of serial columns (a) and of identity columns (i).
    select t.oid as owner, t.relname as home, d.deptype, c.oid, c.relacl, c.relowner, c.relpersistence,
        format('%I.%I', n.nspname, c.relname) as relation,
        format('%s.%I', t.relation, a.attname) as owned_by
    from tables t
    -- All that depends on a table at once (offset 0), and not column by column.
    cross join lateral (
        select d.classid, d.objid, d.refobjsubid, d.deptype
        from pg_catalog.pg_depend d
        where d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = t.oid
        offset 0) d
    join pg_catalog.pg_class c on c.oid = d.objid and c.relkind = 'S'
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum = d.refobjsubid
    where d.classid = 'pg_catalog.pg_class'::regclass and d.refobjsubid > 0 and d.deptype in ('a', 'i')
), columns as materialized (
    -- A default names no column, and needs no look at the table's own.
    select t.relname as home, t.relation, t.relowner, quote_ident(a.attname) as part, a.*,
        pg_get_expr(d.adbin, case when a.attgenerated = '' then 0 else d.adrelid end) as expression
    from tables t
    join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
    left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
), types as materialized (
    select e.*, format('%I.%I', n.nspname, e.typname) as relation
    from unnest($2) u (oid)
    join pg_catalog.pg_type e on e.oid = u.oid
    join pg_catalog.pg_namespace n on n.oid = e.typnamespace
), constraints as materialized (
    -- Those of a partition that come from its parent come with the parent. Since PostgreSQL 18 "not null" (n) is a
    -- constraint too; it is told with the column, unless it was not checked.
    select t.oid as owner, t.relname as home, t.relation, quote_ident(c.conname) as part,
        c.oid, c.contype, c.conindid, c.conparentid, c.convalidated, c.conislocal, c.coninhcount
    from tables t
    join pg_catalog.pg_constraint c on c.conrelid = t.oid
    where c.contype in ('p', 'u', 'x', 'c', 'f', 'n')
), indexes as materialized (
    select t.oid as owner, t.relname as home, t.relation, format('%I.%I', t.nspname, c.relname) as part, t.nspname,
        c.oid, c.relname, c.relkind, c.relam, c.reloptions, c.relispartition, i.indkey, i.indclass, i.indcollation,
        i.indoption, i.indnatts, i.indpred, i.indexprs, i.indisunique, i.indisvalid, i.indisready, i.indisreplident,
        i.indisclustered,
        (i.indisunique or i.indisexclusion) and exists (
            select from pg_catalog.pg_constraint k
            where k.conrelid = t.oid and k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x')) as of_constraint
    from tables t
    join pg_catalog.pg_index i on i.indrelid = t.oid
    join pg_catalog.pg_class c on c.oid = i.indexrelid
), policies as materialized (
    select t.oid as owner, t.relname as home, t.relation, quote_ident(p.polname) as part, p.*
    from tables t
    join pg_catalog.pg_policy p on p.polrelid = t.oid
), triggers as materialized (
    select t.oid as owner, t.relname as home, t.relation, quote_ident(g.tgname) as part,
        g.oid, g.tgenabled, g.tgisinternal, g.tgparentid, g.tgconstraint
    from tables t
    join pg_catalog.pg_trigger g on g.tgrelid = t.oid
), rules as materialized (
    select t.oid as owner, t.relname as home, t.relation, quote_ident(r.rulename) as part, r.oid, r.ev_enabled
    from tables t
    join pg_catalog.pg_rewrite r on r.ev_class = t.oid
    where t.relhasrules
), lists as (
    select oid as owner, relname as home, relation, relacl as acl, relowner, 'r'::"char" as what
    from tables
    union all
    select owner, home, 'sequence ' || relation, relacl, relowner, 's' from sequences
    union all
    -- Everybody may use one of which nothing is said.
    select oid, typname, 'type ' || relation, coalesce(typacl, acldefault('T', typowner)), typowner, 'T' from types
    union all
    select attrelid, home, format('(%s) on %s', part, relation), attacl, relowner, 'c'
    from columns where attacl is not null
), comments as (
    select d.owner, d.home, d.relation, d.part, c.description
    from (
        select oid as owner, relname as home, relation, 'table ' || relation as part,
            'pg_catalog.pg_class'::regclass as class, oid, 0 as number
        from tables
        union all
        select owner, home, relation, 'sequence ' || relation, 'pg_catalog.pg_class'::regclass, oid, 0 from sequences
        union all
        select oid, typname, relation, 'type ' || relation, 'pg_catalog.pg_type'::regclass, oid, 0 from types
        union all
        select owner, home, relation, 'index ' || part, 'pg_catalog.pg_class'::regclass, oid, 0 from indexes
        union all
        select owner, home, relation, format('constraint %s on %s', part, relation),
            'pg_catalog.pg_constraint'::regclass, oid, 0
        from constraints
        union all
        select owner, home, relation, format('policy %s on %s', part, relation), 'pg_catalog.pg_policy'::regclass, oid, 0
        from policies
        union all
        select owner, home, relation, format('trigger %s on %s', part, relation), 'pg_catalog.pg_trigger'::regclass, oid, 0
        from triggers where not tgisinternal
        union all
        select owner, home, relation, format('rule %s on %s', part, relation), 'pg_catalog.pg_rewrite'::regclass, oid, 0
        from rules
    ) d
    join pg_catalog.pg_description c on c.objoid = d.oid and c.classoid = d.class and c.objsubid = d.number
    union all
    select t.oid, t.relname, t.relation, format('column %s.%I', t.relation, a.attname), c.description
    from tables t
    join pg_catalog.pg_description c on c.objoid = t.oid and c.classoid = 'pg_catalog.pg_class'::regclass and c.objsubid > 0
    join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum = c.objsubid
)
select oid as owner, typname::text as home, 'type' as kind, relation, '' as part,
    'enum (' || (select coalesce(string_agg(quote_literal(l.enumlabel), ', ' order by l.enumsortorder), '')
                 from pg_catalog.pg_enum l where l.enumtypid = types.oid) || ')' as definition
from types
union all
select s.owner, s.home, case s.deptype when 'a' then 'sequence' else 'identity' end, s.relation, s.owned_by,
    -- That of an identity column is logged as its table is.
    case s.deptype when 'a' then case s.relpersistence when 'u' then 'unlogged ' else '' end
                             || format('as %s ', format_type(q.seqtypid, null)) else '' end
    || format('start with %s increment by %s minvalue %s maxvalue %s cache %s%s',
        q.seqstart, q.seqincrement, q.seqmin, q.seqmax, q.seqcache, case when q.seqcycle then ' cycle' end)
from sequences s
join pg_catalog.pg_sequence q on q.seqrelid = s.oid
union all
select oid, relname, 'table', relation, '', concat_ws(' ',
    case relpersistence when 'u' then 'unlogged' else 'logged' end,
    case when relkind = 'p' then 'partition by ' || pg_get_partkeydef(oid) end,
    'with (' || nullif(concat_ws(', ', array_to_string(reloptions, ', '), (
        select string_agg('toast.' || o.option, ', ' order by o.place)
        from pg_catalog.pg_class s, unnest(s.reloptions) with ordinality o (option, place)
        where s.oid = tables.reltoastrelid)), '') || ')')
from tables
union all
select a.attrelid, a.home, 'column', a.relation, a.part, concat_ws(' ',
    format_type(a.atttypid, a.atttypmod),
    case when a.attcollation not in (0, y.typcollation)
         then 'collate ' || a.attcollation::regcollation end,
    case a.attgenerated when 's' then format('generated always as (%s) stored', a.expression)
         when 'v' then format('generated always as (%s) virtual', a.expression) end,
    case a.attidentity when 'a' then 'generated always as identity'
         when 'd' then 'generated by default as identity' end,
    case when a.attnotnull then 'not null' end)
from columns a
join pg_catalog.pg_type y on y.oid = a.atttypid
union all
-- It goes when the parent's goes. Of a partition all are so.
select attrelid, home, 'inherited column', relation, part, ''
from columns
where attinhcount > 0 and not attislocal
union all
select attrelid, home, 'default', relation, part, expression
from columns
where expression is not null and attgenerated = ''
union all
select a.attrelid, a.home, s.kind, a.relation, a.part, s.definition
from columns a
join pg_catalog.pg_type y on y.oid = a.atttypid
cross join lateral (values
    ('column storage', case when a.attstorage <> y.typstorage then
        case a.attstorage when 'p' then 'plain' when 'e' then 'external' when 'm' then 'main' else 'extended' end end),
    ('column compression', case a.attcompression when 'p' then 'pglz' when 'l' then 'lz4' end),
    ('column statistics', case when a.attstattarget >= 0 then a.attstattarget::text end),
    -- Since the minor releases of November 2026 the server keeps a version of its own among them: pg_attver.
    ('column options', (
        select string_agg(o.option, ', ' order by o.place)
        from unnest(a.attoptions) with ordinality o (option, place) where not o.option ^@ 'pg_attver='))
) s (kind, definition)
where (a.attstorage <> y.typstorage or a.attcompression <> '' or a.attstattarget >= 0 or a.attoptions is not null)
  and s.definition is not null
union all
select i.owner, i.home, 'index statistics', i.part, a.attnum::text, a.attstattarget::text
from indexes i
join pg_catalog.pg_attribute a on a.attrelid = i.oid and a.attnum > 0 and a.attstattarget >= 0
where i.indexprs is not null
union all
select owner, home, 'constraint', relation, part, pg_get_constraintdef(oid)
from constraints
where case contype when 'n' then not convalidated when 'c' then true else conparentid = 0 end
union all
-- It stays when the parent's goes. Of a partition the server keeps none.
select owner, home, 'own constraint', relation, part, pg_get_constraintdef(oid)
from constraints
where contype = 'c' and conislocal and coninhcount > 0
union all
-- Switched off by a superuser, or by a restore that broke off.
select g.owner, g.home, 'constraint triggers', g.relation, format('%I on %s', k.conname, k.conrelid::regclass),
    case when bool_or(g.tgenabled = 'D') then 'disabled' when bool_or(g.tgenabled = 'R') then 'replica' else 'always' end
from triggers g
join pg_catalog.pg_constraint k on k.oid = g.tgconstraint
where g.tgisinternal and g.tgenabled <> 'O' and g.tgconstraint <> 0
group by 1, 2, 4, 5
union all
-- What pg_get_indexdef() says of a plain index is put together here in half the time: for each key the
-- function looks through all operator classes for the default one.
select i.owner, i.home, 'index', i.relation, i.part,
    case when plain.keys is null then pg_get_indexdef(i.oid)
         else format('CREATE INDEX %I ON %s USING btree (%s)', i.relname, i.relation, plain.keys) end
    || case when i.indisvalid and i.indisready then '' else ' (invalid)' end
from indexes i
left join lateral (
    select string_agg(quote_ident(a.attname) || case k.option when 3 then ' DESC' else '' end, ', '
                      order by k.place) as keys
    from unnest(i.indkey::int2[], i.indclass::oid[], i.indcollation::oid[], i.indoption::int2[])
        with ordinality k (attnum, class, coll, option, place)
    join pg_catalog.pg_attribute a on a.attrelid = i.owner and a.attnum = k.attnum
    join pg_catalog.pg_opclass o on o.oid = k.class
    having count(*) = i.indnatts and bool_and(
        k.option in (0, 3) and k.coll = a.attcollation and o.opcdefault
        and (o.opcintype = a.atttypid or a.atttypid = 'varchar'::regtype and o.opcintype = 'text'::regtype))
) plain on i.relkind = 'i' and i.relam = 403 and i.reloptions is null and i.indpred is null and not i.indisunique
where not i.of_constraint and not i.relispartition
union all
select i.owner, i.home, 'index parameter', i.part, o.option_name, o.option_value
from indexes i, pg_options_to_table(i.reloptions) o
where i.of_constraint
union all
select owner, home, 'cluster', relation, '', quote_ident(relname) from indexes where indisclustered
union all
select t.oid, t.relname, 'replica identity', t.relation, '',
    case t.relreplident when 'f' then 'full' when 'n' then 'nothing'
         else 'using ' || coalesce((select 'index ' || quote_ident(i.relname) from indexes i
                                    where i.owner = t.oid and i.indisreplident), 'an index that is gone') end
from tables t
where t.relreplident <> 'd'
union all
select t.oid, t.relname, 'parent', t.relation, format('%I.%I', n.nspname, c.relname),
    coalesce(pg_get_expr(t.relpartbound, t.oid), '')
from tables t
join pg_catalog.pg_inherits i on i.inhrelid = t.oid
join pg_catalog.pg_class c on c.oid = i.inhparent
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
union all
-- A table that is somebody else's, and shows its rows, or takes rows, under this one's name. Those that belong to the same
-- are told by themselves.
select t.oid, t.relname, 'child', t.relation, format('%I.%I', n.nspname, c.relname),
    coalesce(pg_get_expr(c.relpartbound, c.oid), '')
from tables t
join pg_catalog.pg_inherits i on i.inhparent = t.oid
join pg_catalog.pg_class c on c.oid = i.inhrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where t.relhassubclass and not exists (select from tables o where o.oid = i.inhrelid and o.whose = t.whose)
union all
select oid, relname, 'row security', relation, '',
    case when relforcerowsecurity then 'forced' else 'enabled' end
from tables
where relrowsecurity
union all
select p.owner, p.home, 'policy', p.relation, p.part, concat_ws(' ',
    case when p.polpermissive then 'as permissive' else 'as restrictive' end,
    case p.polcmd when 'r' then 'for select' when 'a' then 'for insert' when 'w' then 'for update'
         when 'd' then 'for delete' else 'for all' end,
    'to ' || (select string_agg(r.name, ', ' order by r.name)
              from (select case when o = 0 then 'public' else o::regrole::text end as name
                    from unnest(p.polroles) o) r),
    'using (' || pg_get_expr(p.polqual, p.polrelid) || ')',
    'with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')
from policies p
union all
-- A trigger of a partition that comes from its parent comes with the parent.
select owner, home, 'trigger', relation, part,
    pg_get_triggerdef(oid)
    || case when tgenabled = 'O' then ''
            else format('; ALTER TABLE %s %s TRIGGER %s', relation,
                case tgenabled when 'D' then 'DISABLE' when 'A' then 'ENABLE ALWAYS' else 'ENABLE REPLICA' end, part) end
from triggers
where not tgisinternal and tgparentid = 0
union all
-- But it may fire otherwise than the parent's.
select g.owner, g.home, 'partition trigger', g.relation, g.part,
    case g.tgenabled when 'D' then 'disable' when 'A' then 'enable always' when 'R' then 'enable replica' else 'enable' end
from triggers g
join pg_catalog.pg_trigger p on p.oid = g.tgparentid
where not g.tgisinternal and g.tgenabled <> p.tgenabled
union all
select owner, home, 'rule', relation, part,
    rtrim(pg_get_ruledef(oid), ';')
    || case when ev_enabled = 'O' then ''
            else format('; ALTER TABLE %s %s RULE %s', relation,
                case ev_enabled when 'D' then 'DISABLE' when 'A' then 'ENABLE ALWAYS' else 'ENABLE REPLICA' end, part) end
from rules
union all
-- On a column it is named as a statement names it.
select l.owner, l.home, case l.what when 'c' then 'column grant' else 'grant' end, l.relation,
    case when g.grantee = 0 then 'public' else g.grantee::regrole::text end,
    string_agg(lower(g.privilege_type collate "C") || case when g.is_grantable then ' with grant option' else '' end,
               ', ' order by g.privilege_type)
from lists l, aclexplode(l.acl) g
where g.grantee <> l.relowner
group by 1, 2, 3, 4, 5
union all
-- The owner's own, where they are not all. Nobody else's count here: a member of the role has them too.
select l.owner, l.home, 'owner rights', l.relation, l.relowner::regrole::text, coalesce(own.rights, 'nothing')
from lists l
cross join lateral (
    select string_agg(lower(g.privilege_type collate "C"), ', ' order by g.privilege_type) as rights, count(*) as count
    from aclexplode(l.acl) g where g.grantee = l.relowner
) own
where l.what <> 'c' and l.acl is not null
  -- The first of the default ones are the owner's, except of types.
  and (l.what = 'T' or not l.acl @> (acldefault(l.what, l.relowner))[1])
  and own.count < (select count(*) from aclexplode(acldefault(l.what, l.relowner)) g where g.grantee = l.relowner)
union all
select t.oid, t.relname, 'publication', t.relation, quote_ident(p.pubname), concat_ws(' ',
    '(' || (select string_agg(quote_ident(a.attname), ', ' order by a.attnum)
            from pg_catalog.pg_attribute a
            where a.attrelid = t.oid and a.attnum = any (r.prattrs::int2[])) || ')',
    'where (' || pg_get_expr(r.prqual, r.prrelid) || ')')
from tables t
join pg_catalog.pg_publication_rel r on r.prrelid = t.oid
join pg_catalog.pg_publication p on p.oid = r.prpubid
union all
select owner, home, 'comment', relation, part, quote_literal(description) from comments
union all
select oid, relname, 'owner', relation, '', relowner::regrole::text
from tables
union all
select oid, typname, 'owner', 'type ' || relation, '', typowner::regrole::text
from types
