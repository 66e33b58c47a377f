-- A name in schema public that nothing has, made of another one: that and _old, _old2…. Long names lose their ends.
-- wanted: the name; first, step: the numbers to try, for names that lose the same end
create or replace function provisioning.free_name(wanted text, first bigint default 1, step bigint default 1) returns text
    language sql stable set search_path = pg_catalog, pg_temp as $$
    select left(wanted, 63 - length(suffix.text)) || suffix.text
    from generate_series(first, 1000, step) number
    cross join lateral (select '_old' || case when number > 1 then number::text else '' end as text) suffix
    where not exists (
            select from pg_class c where c.relnamespace = 'public'::regnamespace
              and c.relname = left(wanted, 63 - length(suffix.text)) || suffix.text)
      and not exists (
            select from pg_type y where y.typnamespace = 'public'::regnamespace
              and y.typname = left(wanted, 63 - length(suffix.text)) || suffix.text)
    order by number
    limit 1
$$;

-- Registered tables that somebody renamed or moved to another schema, found by their oids. Lists, verify and agent_status
-- take their words from here. It shows nobody more than the registry does: a view with the caller's rights.
create or replace view provisioning.displaced_tables with (security_invoker = true) as
select t.relation, t.agent_id, t.table_name, n.nspname as schema_name, c.relname as relation_name,
    concat_ws(' and ',
        case when n.nspname <> 'public' then format('moved to schema %I', n.nspname) end,
        case when c.relname <> t.table_name then format('renamed to %I', c.relname) end) as displacement,
    -- What bears its name now and is not the registered table, and whose it is.
    twin.name as twin,
    -- The statements that give it its name and place back: first what has taken a name that it, its indexes or its
    -- sequences need makes way, if it looks like the agent's: the worker's role writes the registry, and shall have nobody
    -- rename anything else.
    concat_ws('; ',
        (select string_agg(concat_ws('; ',
             -- Registered for the same name, too: the registry forgets it. The rows stay.
             case when w.is_registered
                 then format('delete from provisioning.agent_tables where relation = %L::regclass',
                     format('%I.%I', 'public', w.name)) end,
             format('alter %s public.%I rename to %I', w.kind, w.name, free.name)), '; ' order by w.name)
         from (
             select r.relname::text as name, case r.relkind when 'c' then 'type' else 'table' end as kind,
                 k.table_name = t.table_name as is_registered
             from pg_catalog.pg_class r
             left join provisioning.agent_tables k on k.relation = r.oid
             where r.relnamespace = 'public'::regnamespace and r.oid <> t.relation
               and (k.agent_id is null or k.agent_id = t.agent_id)
               and (r.relname = t.table_name
                    or n.nspname <> 'public' and (r.relname = c.relname or r.relname in (
                        select x.relname from pg_catalog.pg_index i
                        join pg_catalog.pg_class x on x.oid = i.indexrelid
                        where i.indrelid = t.relation
                        union all
                        select s.relname from pg_catalog.pg_depend d
                        join pg_catalog.pg_class s on s.oid = d.objid and s.relkind = 'S'
                        where d.classid = 'pg_catalog.pg_class'::regclass and d.deptype in ('a', 'i')
                          and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = t.relation)))
             union all
             select y.typname::text, 'type' as kind, null::boolean as is_registered
             from pg_catalog.pg_type y
             where y.typnamespace = 'public'::regnamespace and y.typname = t.table_name and y.typrelid = 0
         ) w
         join provisioning.agents a on a.agent_id = t.agent_id
             and w.name ^@ (a.agent_prefix || '_') and not w.name ^@ 'whatsapp_configuration'
         cross join lateral (select provisioning.free_name(w.name) as name) free),
        case when n.nspname <> 'public' then format('alter table %I.%I set schema public', n.nspname, c.relname) end,
        case when c.relname <> t.table_name
            then format('alter table public.%I rename to %I', c.relname, t.table_name) end) as back,
    -- Why no repair gives it its name and place back.
    case when twin.name is not null then format('in its place stands %s, which is %s', twin.name, case
        when twin.agent_id is null then 'not the agent''s'
        when twin.agent_id <> t.agent_id then format('registered for agent %s', twin.agent_id)
        when twin.table_name = t.table_name then 'registered for the agent, too: keep one of the two'
        else format('the agent''s %I', twin.table_name) end) end as obstacle
from provisioning.agent_tables t
join pg_catalog.pg_class c on c.oid = t.relation and c.relkind in ('r', 'p')
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join lateral (
    select format('%I.%I of role %s', 'public', o.name, o.owner::regrole) as name, k.agent_id, k.table_name
    from (
        select w.relname as name, w.relowner as owner, w.oid
        from pg_catalog.pg_class w
        where w.relnamespace = 'public'::regnamespace and w.relname = t.table_name and w.oid <> t.relation
        union all
        select y.typname, y.typowner, null::oid as oid
        from pg_catalog.pg_type y
        where y.typnamespace = 'public'::regnamespace and y.typname = t.table_name and y.typrelid = 0) o
    left join provisioning.agent_tables k on k.relation = o.oid
    limit 1) twin on true
where n.nspname <> 'public' or c.relname <> t.table_name;
