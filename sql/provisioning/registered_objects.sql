-- What is registered to an agent, quoted by the server: its tables, the youngest first, and its
-- types; and whether each is still the one registered.
-- $1 agent
select
    o.kind,
    o.oid,
    -- Null where somebody dropped it.
    o.name,
    coalesce(o.bare_name = o.registered_name and o.within_reach, false) as ours,
    o.registered_name,
    -- Where it has another name by now, or stands where its owner may do nothing: what bears its name, and the statements that
    -- give it name and place back.
    case when o.bare_name <> o.registered_name or not o.within_reach then o.twin end as twin,
    case when o.bare_name <> o.registered_name or not o.within_reach then o.back end as rename_back
from provisioning.agents a
left join lateral (
    select 'table' as kind, case when c.oid is not null then format('%I.%I', n.nspname, c.relname) end as name,
        c.relname::text as bare_name, t.table_name as registered_name, t.relation::oid as oid,
        has_schema_privilege(c.relowner, n.oid, 'usage') as within_reach, d.twin, d.back
    from provisioning.agent_tables t
    left join pg_catalog.pg_class c on c.oid = t.relation
    left join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    left join provisioning.displaced_tables d on d.relation = t.relation and d.agent_id = t.agent_id
    where t.agent_id = a.agent_id
    union all
    select 'type', case when y.oid is not null then format('%I.%I', n.nspname, y.typname) end,
        y.typname::text, t.type_name, t.type::oid, has_schema_privilege(y.typowner, n.oid, 'usage'), null,
        concat_ws('; ',
            case when n.nspname <> 'public' then format('alter type %I.%I set schema public', n.nspname, y.typname) end,
            case when y.typname <> t.type_name then format('alter type public.%I rename to %I', y.typname, t.type_name) end)
    from provisioning.agent_types t
    left join pg_catalog.pg_type y on y.oid = t.type
    left join pg_catalog.pg_namespace n on n.oid = y.typnamespace
    where t.agent_id = a.agent_id
) o on true
where a.agent_id = $1
order by o.kind, o.oid desc
