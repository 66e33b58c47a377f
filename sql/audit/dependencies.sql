-- Which facts need which others: what depends, and what it depends on, each as kind, relation and part.
-- $1 schemas of the platform and of this program
with spaces as (
    select n.oid, quote_ident(n.nspname) as name
    from pg_catalog.pg_namespace n
    where n.nspname <> all ($1) and not n.nspname ^@ 'pg_' and n.nspname <> 'information_schema'
), relations as (
    select c.oid, c.relkind, c.reltype, format('%s.%I', n.name, c.relname) as name
    from pg_catalog.pg_class c join spaces n on n.oid = c.relnamespace
), addresses as materialized (
    select 'pg_catalog.pg_namespace'::regclass as class, oid, 0 as number, 'schema' as kind, name as relation, '' as part
    from spaces
    union all
    select 'pg_catalog.pg_class'::regclass, oid, 0, case when relkind in ('r', 'p') then 'table' else 'view' end, name, ''
    from relations where relkind in ('r', 'p', 'v', 'm')
    union all
    -- The columns of a view are the view.
    select 'pg_catalog.pg_class'::regclass, r.oid, a.attnum, case when r.relkind in ('r', 'p') then 'column' else 'view' end,
        r.name, case when r.relkind in ('r', 'p') then quote_ident(a.attname) else '' end
    from relations r join pg_catalog.pg_attribute a on a.attrelid = r.oid
    where r.relkind in ('r', 'p', 'v', 'm') and a.attnum > 0 and not a.attisdropped
    union all
    select 'pg_catalog.pg_class'::regclass, s.oid, 0, 'sequence', s.name, coalesce((
        select format('%s.%I', t.name, a.attname)
        from pg_catalog.pg_depend d
        join relations t on t.oid = d.refobjid
        join pg_catalog.pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
        where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = s.oid
          and d.refclassid = 'pg_catalog.pg_class'::regclass and d.deptype in ('a', 'i')), '')
    from relations s where s.relkind = 'S'
    union all
    -- The index behind a constraint is the constraint.
    select 'pg_catalog.pg_class'::regclass, i.indexrelid, 0, case when k.oid is null then 'index' else 'constraint' end,
        t.name, case when k.oid is null then x.name else quote_ident(k.conname) end
    from pg_catalog.pg_index i
    join relations t on t.oid = i.indrelid
    join relations x on x.oid = i.indexrelid
    left join pg_catalog.pg_constraint k on k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x') and k.conrelid = t.oid
    union all
    select 'pg_catalog.pg_type'::regclass, y.oid, 0, coalesce(case when r.relkind in ('r', 'p') then 'table'
        when r.relkind in ('v', 'm') then 'view' end, 'type'), coalesce(r.name, format('%s.%I', n.name, b.typname)), ''
    from pg_catalog.pg_type y
    join pg_catalog.pg_type b on b.oid = case when y.typcategory = 'A' and y.typelem <> 0 then y.typelem else y.oid end
    join spaces n on n.oid = b.typnamespace
    left join relations r on r.oid = b.typrelid and r.relkind in ('r', 'p', 'v', 'm')
    union all
    select 'pg_catalog.pg_proc'::regclass, p.oid, 0, 'function', p.oid::regprocedure::text, ''
    from pg_catalog.pg_proc p join spaces n on n.oid = p.pronamespace
    union all
    select 'pg_catalog.pg_attrdef'::regclass, d.oid, 0, 'default', r.name, quote_ident(a.attname)
    from pg_catalog.pg_attrdef d
    join relations r on r.oid = d.adrelid
    join pg_catalog.pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
    union all
    select 'pg_catalog.pg_constraint'::regclass, k.oid, 0, 'constraint', r.name, quote_ident(k.conname)
    from pg_catalog.pg_constraint k join relations r on r.oid = k.conrelid
    union all
    select 'pg_catalog.pg_policy'::regclass, p.oid, 0, 'policy', p.polrelid::regclass::text, quote_ident(p.polname)
    from pg_catalog.pg_policy p
    union all
    select 'pg_catalog.pg_trigger'::regclass, t.oid, 0, 'trigger', t.tgrelid::regclass::text, quote_ident(t.tgname)
    from pg_catalog.pg_trigger t where not t.tgisinternal
    union all
    select 'pg_catalog.pg_rewrite'::regclass, w.oid, 0, case when r.relkind in ('v', 'm') then 'view' else 'rule' end,
        r.name, case when r.relkind in ('v', 'm') then '' else quote_ident(w.rulename) end
    from pg_catalog.pg_rewrite w join relations r on r.oid = w.ev_class
    union all
    select 'pg_catalog.pg_publication_rel'::regclass, p.oid, 0, 'publication', p.prrelid::regclass::text, quote_ident(b.pubname)
    from pg_catalog.pg_publication_rel p join pg_catalog.pg_publication b on b.oid = p.prpubid
    union all
    select 'pg_catalog.pg_publication'::regclass, p.oid, 0, 'publication options', quote_ident(p.pubname), ''
    from pg_catalog.pg_publication p
    union all
    select 'pg_catalog.pg_extension'::regclass, e.oid, 0, 'extension', quote_ident(e.extname), ''
    from pg_catalog.pg_extension e
)
select distinct a.kind as kind, a.relation as relation, a.part as part,
    b.kind as needed_kind, b.relation as needed_relation, b.part as needed_part
from pg_catalog.pg_depend d
join addresses a on a.class = d.classid and a.oid = d.objid and a.number = d.objsubid
join addresses b on b.class = d.refclassid and b.oid = d.refobjid and b.number = d.refobjsubid
where (a.kind, a.relation, a.part) <> (b.kind, b.relation, b.part)
  and not (a.kind = 'sequence' and d.deptype = 'a')
