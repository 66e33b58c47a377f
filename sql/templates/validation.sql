-- What this transaction has made that no agent may have. All but four kinds of object leave rows
-- in pg_depend; and a row that is seen although its transaction is in progress is one's own, made
-- under a savepoint or not. (age() is counted from this transaction: later ones are negative.)
-- $1 the head of an agent's names, $2 whether it may have foreign keys to agents
with written as materialized (
    select distinct w.classid, w.objid
    from (
        select classid, objid, xmin as xid from pg_catalog.pg_depend
        union all
        select 'pg_catalog.pg_namespace'::regclass, oid, xmin from pg_catalog.pg_namespace
        union all
        select 'pg_catalog.pg_publication'::regclass, oid, xmin from pg_catalog.pg_publication
        union all
        select 'pg_catalog.pg_event_trigger'::regclass, oid, xmin from pg_catalog.pg_event_trigger
        union all
        select 'pg_catalog.pg_default_acl'::regclass, oid, xmin from pg_catalog.pg_default_acl
    ) w
    where case when age(w.xid) <= 0 then
        pg_xact_status((pg_current_xact_id()::text::bigint - age(w.xid))::text::xid8) = 'in progress'
    end
), made as (
    select w.classid, w.objid,
        -- Since PostgreSQL 18 "not null" is a constraint; nobody asks for its name.
        coalesce(c.relname, y.typname, case when k.contype <> 'n' then k.conname end) as name,
        coalesce(c.relnamespace, y.typnamespace) as schema,
        c.relkind, y.typtype,
        -- What it hangs on.
        coalesce(i.indrelid, s.refobjid, nullif(k.conrelid, 0), g.tgrelid, p.polrelid, a.adrelid, r.prrelid)
            as relation
    from written w
    left join pg_catalog.pg_class c on w.classid = 'pg_catalog.pg_class'::regclass and c.oid = w.objid
    left join pg_catalog.pg_index i on i.indexrelid = c.oid
    left join pg_catalog.pg_depend s on c.relkind = 'S' and s.classid = w.classid and s.objid = c.oid
        and s.refclassid = 'pg_catalog.pg_class'::regclass and s.refobjsubid > 0 and s.deptype in ('a', 'i')
    left join pg_catalog.pg_type y on w.classid = 'pg_catalog.pg_type'::regclass and y.oid = w.objid
    left join pg_catalog.pg_constraint k
        on w.classid = 'pg_catalog.pg_constraint'::regclass and k.oid = w.objid
    left join pg_catalog.pg_trigger g on w.classid = 'pg_catalog.pg_trigger'::regclass and g.oid = w.objid
    left join pg_catalog.pg_policy p on w.classid = 'pg_catalog.pg_policy'::regclass and p.oid = w.objid
    left join pg_catalog.pg_attrdef a on w.classid = 'pg_catalog.pg_attrdef'::regclass and a.oid = w.objid
    left join pg_catalog.pg_publication_rel r
        on w.classid = 'pg_catalog.pg_publication_rel'::regclass and r.oid = w.objid
    -- Judged with what they belong to: what is stored out of line, the types of rows and of arrays,
    -- a domain's constraints, and the triggers behind foreign keys.
    where c.relnamespace is distinct from 'pg_toast'::regnamespace
      and coalesce(y.typrelid, 0) = 0 and y.typcategory is distinct from 'A'
      and coalesce(k.contypid, 0) = 0
      and g.tgisinternal is not true
), judged as (
    select m.*, case
        when coalesce(m.relkind not in ('r', 'p'), m.typtype <> 'e', true) and m.relation is null
        then 'kind'
        when m.relation is not null
             and not (t.relnamespace = 'public'::regnamespace and t.relname ^@ $1)
        then 'elsewhere'
        when m.schema is not null
             and not (m.schema = 'public'::regnamespace and m.name ^@ $1)
        then 'name'
        -- A partition or an inheritance child.
        when m.relkind in ('r', 'p') and exists (
            select from pg_catalog.pg_inherits h
            join pg_catalog.pg_class p on p.oid = h.inhparent
            where h.inhrelid = m.objid
              and not (p.relnamespace = 'public'::regnamespace and p.relname ^@ $1))
        then 'parent'
        when not $2 and m.classid = 'pg_catalog.pg_constraint'::regclass and exists (
            select from pg_catalog.pg_constraint k
            where k.oid = m.objid and k.confrelid = to_regclass('public.agents'))
        then 'agents'
        -- The server cuts each part of a name before a letter, which may leave up to three bytes unused.
        when octet_length(m.name) >= case when octet_length(m.name) = length(m.name) then 63 else 57 end then 'cut'
    end as problem
    from made m
    left join pg_catalog.pg_class t on t.oid = m.relation
)
select o.type || ' ' || o.identity as object, j.name::text as name, j.problem
from judged j, pg_identify_object(j.classid, j.objid, 0) o
where j.problem is not null
order by j.relkind is null, 1
