-- All that the server's catalogs say of one agent: every column of every row that is about it, whatever a release adds.
-- Left out is what must differ from agent to agent (numbers of objects, files, pages, transactions), what the server
-- brings up to date only now and then (relhas…), what it keeps and never uses (attndims), and trees, for which their texts stand. Numbers of columns are facts
-- of their own, `position`.
-- $1: the prefix
with relations as materialized (
    select c.* from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relname ^@ ($1 || '_')
), types as materialized (
    select y.* from pg_type y
    where y.typnamespace = 'public'::regnamespace
      and (y.typname ^@ ($1 || '_') or y.typname ^@ ('_' || $1 || '_'))
), columns as materialized (
    -- In an index a column keeps its first name.
    select a.*, c.relkind in ('i', 'I') as of_index, format('%s.%I', a.attrelid::regclass,
        case when c.relkind in ('i', 'I') then a.attnum::text else a.attname end) as name
    from pg_attribute a join relations c on c.oid = a.attrelid
    where a.attnum > 0 and not a.attisdropped
)
select 'relation ' || relname as what,
    to_jsonb(c) - '{oid,relname,reltype,relfilenode,relpages,reltuples,relallvisible,relallfrozen,reltoastrelid,
        relfrozenxid,relminmxid,relhasindex,relhasrules,relhastriggers,relhassubclass,relacl,relpartbound,relnatts,
        reloftype,relrewrite}'::text[]
    || jsonb_build_object('bound', pg_get_expr(relpartbound, oid), 'parted', pg_get_partkeydef(oid),
        -- The server forgets those of a table without a TOAST table. One that lost its last long column keeps that.
        'toast', (select s.reloptions from pg_class s where s.oid = c.reltoastrelid
                  and exists (select from columns a where a.attrelid = c.oid and a.attstorage <> 'p'))) as said
from relations c
union all
select format('right %s %s', o.what, case when g.grantee = 0 then 'public' else g.grantee::regrole::text end),
    jsonb_agg(g.privilege_type || g.is_grantable::text || g.grantor::regrole order by 1, g.privilege_type)
from (select oid::regclass::text as what,
          coalesce(relacl, acldefault(case when relkind = 'S' then 's' else 'r' end::"char", relowner)) as acl
      from relations where relkind in ('r', 'p', 'S')
      union all select oid::regtype::text, coalesce(typacl, acldefault('T', typowner)) from types
      union all select name, attacl from columns) o, aclexplode(o.acl) g
group by 1
union all
select 'column ' || name,
    to_jsonb(a) - '{name,of_index,attrelid,atttypid,attname,attnum,attacl,atthasmissing,attmissingval,attcacheoff,attndims,attoptions}'::text[]
    -- Without the version that the server keeps there since the minor releases of November 2026.
    || jsonb_build_object('type', format_type(atttypid, atttypmod),
        'options', (select jsonb_agg(o) from unnest(attoptions) o where not o ^@ 'pg_attver='),
        -- An index with types of its own has the column's when that is set, and not when the index is made.
        'attcompression', case when not of_index then attcompression end,
        'attstorage', case when not of_index or attlen < 0 then attstorage end)
from columns a
union all
select 'position ' || name, to_jsonb(row_number() over (partition by attrelid order by attnum)) from columns
union all
select 'default ' || a.name, to_jsonb(pg_get_expr(d.adbin, d.adrelid))
from columns a join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
union all
-- Since PostgreSQL 18 "not null" (n) is one too. What it is called is not compared.
select format('constraint %s on %s', case k.contype when 'n' then pg_get_constraintdef(k.oid) else k.conname end,
        k.conrelid::regclass),
    to_jsonb(k) - '{oid,conrelid,conindid,conparentid,confrelid,conkey,confkey,confdelsetcols,conbin}'::text[]
    - case k.contype when 'n' then 'conname' else '' end
    || jsonb_build_object('said', pg_get_constraintdef(k.oid),
        -- Of two indexes of the same columns a foreign key rests on the older one: a repair does not choose.
        'with', case when k.contype <> 'f' then k.conindid::regclass end,
        'part', k.conparentid <> 0)
from relations c join pg_constraint k on k.conrelid = c.oid
-- The server keeps a copy for each partition of a table that a key refers to, and does not validate it with the key.
where not exists (select from pg_constraint p where p.oid = k.conparentid and p.conrelid = k.conrelid)
union all
select format('index %s on %s', i.indexrelid::regclass, i.indrelid::regclass),
    to_jsonb(i) - '{indexrelid,indrelid,indkey,indexprs,indpred,indcheckxmin}'::text[]
    || jsonb_build_object('said', pg_get_indexdef(i.indexrelid))
from relations c join pg_index i on i.indrelid = c.oid
union all
-- The server names the copies of a key for partitions of the table that it refers to, in an order of its own.
select format('trigger %s on %s', case when tgisinternal then 'of ' || coalesce(p.conname, k.conname) else tgname end, tgrelid::regclass),
    jsonb_agg(to_jsonb(g) - '{oid,tgrelid,tgparentid,tgconstrrelid,tgconstrindid,tgconstraint,tgattr,tgqual}'::text[]
        - case when tgisinternal then 'tgname' else '' end
        || jsonb_build_object('said', case when not tgisinternal then pg_get_triggerdef(g.oid) end, 'part', tgparentid <> 0)
        order by tgtype, tgfoid)
from relations c join pg_trigger g on g.tgrelid = c.oid
left join pg_constraint k on k.oid = g.tgconstraint
left join pg_constraint p on p.oid = k.conparentid and p.conrelid = k.conrelid
group by 1
union all
select format('policy %s on %s', polname, polrelid::regclass),
    to_jsonb(p) - '{oid,polrelid,polroles,polqual,polwithcheck}'::text[] || jsonb_build_object(
        'roles', (select jsonb_agg(r order by r) from unnest(polroles) r),
        'using', pg_get_expr(polqual, polrelid), 'check', pg_get_expr(polwithcheck, polrelid))
from relations c join pg_policy p on p.polrelid = c.oid
union all
select format('rule %s on %s', rulename, ev_class::regclass),
    to_jsonb(r) - '{oid,ev_class,ev_qual,ev_action}'::text[] || jsonb_build_object('said', pg_get_ruledef(r.oid))
from relations c join pg_rewrite r on r.ev_class = c.oid
union all
select 'sequence ' || seqrelid::regclass,
    to_jsonb(q) - 'seqrelid' || jsonb_build_object('last', s.last_value, 'owned by', (
        select jsonb_agg(format('%s %s.%s', d.deptype, d.refobjid::regclass, a.attname))
        from pg_depend d join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
        where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.refclassid = 'pg_class'::regclass))
from relations c
join pg_sequence q on q.seqrelid = c.oid
join pg_sequences s on s.schemaname = 'public' and s.sequencename = c.relname
union all
select format('parent of %s %s', i.inhrelid::regclass, i.inhseqno),
    to_jsonb(i) - '{inhrelid,inhparent,inhseqno}'::text[] || jsonb_build_object('is', i.inhparent::regclass)
from relations c join pg_inherits i on i.inhrelid = c.oid
union all
select format('member %s of %s', r.prrelid::regclass, p.pubname),
    jsonb_build_object('columns', r.prattrs is not null, 'filter', pg_get_expr(r.prqual, r.prrelid))
from relations c join pg_publication_rel r on r.prrelid = c.oid join pg_publication p on p.oid = r.prpubid
union all
select format('statistics %s on %s', stxname, stxrelid::regclass), to_jsonb(pg_get_statisticsobjdef(s.oid))
from relations c join pg_statistic_ext s on s.stxrelid = c.oid
union all
select 'type ' || y.oid::regtype,
    to_jsonb(y) - '{oid,typname,typrelid,typelem,typarray,typbasetype,typdefaultbin,typacl}'::text[]
    || jsonb_build_object('values', (select jsonb_agg(e.enumlabel order by e.enumsortorder) from pg_enum e
                                     where e.enumtypid = y.oid))
from types y
union all
select format('comment %s %s', d.classoid::regclass, o.identity || coalesce('.' || a.attname, '')), to_jsonb(d.description)
from pg_description d
cross join pg_identify_object(d.classoid, d.objoid, 0) o
left join pg_attribute a on d.classoid = 'pg_class'::regclass and a.attrelid = d.objoid and a.attnum = d.objsubid and d.objsubid > 0
where d.objoid >= 16384 and o.identity ~ ('\m' || $1 || '_')
