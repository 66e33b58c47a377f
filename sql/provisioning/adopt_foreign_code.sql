-- What is on tables, or on partitions and children of theirs, and rests on code of a role that is neither a superuser, nor
-- the owner of the base schema or of auth.uid(), nor the worker's. It runs with the rights of the table's owner when the table is
-- analyzed or an index is built, and with those of whoever writes or reads a row. The server knows what rests on a
-- function, an operator, a type, a view or a table; of a function that is called in the text of another it knows nothing.
-- $1 tables: what rests on one another is no matter
with recursive trusted as materialized (
    select r.oid from pg_catalog.pg_roles r where r.rolsuper
    union all
    select c.relowner from pg_catalog.pg_class c where c.oid = 'public.agents'::regclass
    union all
    select p.proowner from pg_catalog.pg_proc p where p.oid = to_regprocedure('auth.uid()')
    union all
    select p.polroles[1] from pg_catalog.pg_policy p
    where p.polrelid = 'provisioning.jobs'::regclass and p.polname = 'worker'
), part as (
    select t.oid as top, t.oid from unnest($1) t (oid)
    union
    select p.top, i.inhrelid from part p join pg_catalog.pg_inherits i on i.inhparent = p.oid
), culprit as materialized (
    select 'pg_catalog.pg_proc'::regclass::oid as classid, p.oid as objid, p.proowner as owner from pg_catalog.pg_proc p
    union all
    select 'pg_catalog.pg_operator'::regclass, o.oid, o.oprowner from pg_catalog.pg_operator o
    union all
    -- A domain can get another CHECK at any time, and a composite type an attribute of such a domain.
    select 'pg_catalog.pg_type'::regclass, y.oid, y.typowner
    from pg_catalog.pg_type y
    left join pg_catalog.pg_class c on c.oid = y.typrelid
    where y.typtype = 'd' or y.typtype = 'c' and c.relkind = 'c'
    union all
    -- And a table a policy, and a view another definition.
    select 'pg_catalog.pg_class'::regclass, c.oid, c.relowner
    from pg_catalog.pg_class c
    where c.relkind in ('r', 'p', 'v', 'm', 'f') and c.oid not in (select p.oid from part p)
), reached as (
    select c.classid, c.objid, 0 as objsubid, c.classid as culprit_class, c.objid as culprit, c.owner
    from culprit c
    where c.owner not in (select t.oid from trusted t)
    union
    select n.classid, n.objid, n.objsubid, r.culprit_class, r.culprit, r.owner
    from reached r
    cross join lateral (
        -- What rests on a table that was only reached does not call anything.
        select d.classid, d.objid, d.objsubid
        from pg_catalog.pg_depend d
        where d.refclassid = r.classid and d.refobjid = r.objid
          and (r.classid <> 'pg_catalog.pg_class'::regclass or r.objid = r.culprit
               or (select c.relkind in ('v', 'c') from pg_catalog.pg_class c where c.oid = r.objid))
        union all
        -- From a view's rule to the view, from a domain's CHECK to the domain, and from an attribute to the composite type.
        select 'pg_catalog.pg_class'::regclass, w.ev_class, 0
        from pg_catalog.pg_rewrite w
        join pg_catalog.pg_class v on v.oid = w.ev_class and v.relkind = 'v'
        where r.classid = 'pg_catalog.pg_rewrite'::regclass and w.oid = r.objid
        union all
        select 'pg_catalog.pg_type'::regclass, k.contypid, 0
        from pg_catalog.pg_constraint k
        where r.classid = 'pg_catalog.pg_constraint'::regclass and k.oid = r.objid and k.contypid <> 0
        union all
        select 'pg_catalog.pg_type'::regclass, c.reltype, 0
        from pg_catalog.pg_class c
        where r.classid = 'pg_catalog.pg_class'::regclass and c.oid = r.objid and c.relkind = 'c'
    ) n
), found as (
    select o.relation, o.object, o.remedy, r.culprit_class, r.culprit, r.owner
    from reached r
    cross join lateral (
        select i.indrelid as relation, format('index %I.%I', n.nspname, x.relname) as object,
            case when k.oid is null then format('drop index %I.%I', n.nspname, x.relname)
                 else format('alter table %s drop constraint %I', i.indrelid::regclass, k.conname) end as remedy
        from pg_catalog.pg_index i
        join pg_catalog.pg_class x on x.oid = i.indexrelid
        join pg_catalog.pg_namespace n on n.oid = x.relnamespace
        left join pg_catalog.pg_constraint k on k.conindid = x.oid and k.contype in ('p', 'u', 'x')
        where r.classid = 'pg_catalog.pg_class'::regclass and i.indexrelid = r.objid
        union all
        select a.attrelid, format('column %I of %s', a.attname, a.attrelid::regclass),
            format('alter table %s alter column %I type %s', a.attrelid::regclass, a.attname,
                case when y.typtype = 'd' then format_type(y.typbasetype, y.typtypmod) else 'text' end)
        from pg_catalog.pg_attribute a
        join pg_catalog.pg_type y on y.oid = a.atttypid
        where r.classid = 'pg_catalog.pg_class'::regclass and a.attrelid = r.objid and a.attnum = r.objsubid
          and a.attnum > 0
        union all
        select k.conrelid, format('constraint %I of %s', k.conname, k.conrelid::regclass),
            format('alter table %s drop constraint %I', k.conrelid::regclass, k.conname)
        from pg_catalog.pg_constraint k
        where r.classid = 'pg_catalog.pg_constraint'::regclass and k.oid = r.objid and k.contype = 'c'
        union all
        select e.adrelid, format('default of column %I of %s', a.attname, e.adrelid::regclass),
            format(case a.attgenerated when '' then 'alter table %s alter column %I drop default'
                        when 's' then 'alter table %s alter column %I drop expression'
                        else 'alter table %s drop column %I' end, e.adrelid::regclass, a.attname)
        from pg_catalog.pg_attrdef e
        join pg_catalog.pg_attribute a on a.attrelid = e.adrelid and a.attnum = e.adnum
        where r.classid = 'pg_catalog.pg_attrdef'::regclass and e.oid = r.objid
        union all
        select t.tgrelid, format('trigger %I of %s', t.tgname, t.tgrelid::regclass),
            format('drop trigger %I on %s', t.tgname, t.tgrelid::regclass)
        from pg_catalog.pg_trigger t
        where r.classid = 'pg_catalog.pg_trigger'::regclass and t.oid = r.objid and not t.tgisinternal
          and r.culprit_class <> 'pg_catalog.pg_class'::regclass
        union all
        select w.ev_class, format('rule %I of %s', w.rulename, w.ev_class::regclass),
            format('drop rule %I on %s', w.rulename, w.ev_class::regclass)
        from pg_catalog.pg_rewrite w
        where r.classid = 'pg_catalog.pg_rewrite'::regclass and w.oid = r.objid
        union all
        select p.polrelid, format('policy %I of %s', p.polname, p.polrelid::regclass),
            format('drop policy %I on %s', p.polname, p.polrelid::regclass)
        from pg_catalog.pg_policy p
        where r.classid = 'pg_catalog.pg_policy'::regclass and p.oid = r.objid
        union all
        select s.stxrelid, format('statistics %I.%I', n.nspname, s.stxname),
            format('drop statistics %I.%I', n.nspname, s.stxname)
        from pg_catalog.pg_statistic_ext s
        join pg_catalog.pg_namespace n on n.oid = s.stxnamespace
        where r.classid = 'pg_catalog.pg_statistic_ext'::regclass and s.oid = r.objid
    ) o
    union all
    -- Who owns a parent adds to its parts, and a row that is written to a parent runs what is on its part.
    select p.oid, format('part %s of %s', i.inhrelid::regclass, i.inhparent::regclass),
        case when part.relispartition
             then format('alter table %s detach partition %s', i.inhparent::regclass, i.inhrelid::regclass)
             else format('alter table %s no inherit %s', i.inhrelid::regclass, i.inhparent::regclass) end,
        'pg_catalog.pg_class'::regclass, other.oid, other.relowner
    from part p
    cross join lateral (
        select i.inhrelid, i.inhparent, i.inhparent as other from pg_catalog.pg_inherits i where i.inhrelid = p.oid
        union all
        select i.inhrelid, i.inhparent, i.inhrelid from pg_catalog.pg_inherits i where i.inhparent = p.oid
    ) i
    join pg_catalog.pg_class part on part.oid = i.inhrelid
    join pg_catalog.pg_class other on other.oid = i.other
    where other.oid <> all ($1) and other.relowner not in (select t.oid from trusted t)
)
select distinct on (p.top, f.object)
    p.top as table_id, f.object, f.remedy,
    c.type || ' ' || coalesce((select p.oid::regprocedure::text from pg_catalog.pg_proc p
        where f.culprit_class = 'pg_catalog.pg_proc'::regclass and p.oid = f.culprit), c.identity) as culprit,
    f.owner::regrole::text as owner
from found f
join part p on p.oid = f.relation
cross join lateral pg_catalog.pg_identify_object(f.culprit_class, f.culprit, 0) c
order by p.top, f.object, culprit
