-- What is registered for agents: versions, tables and types that are still the ones registered, and tables and types that were
-- renamed, or moved to another schema.
-- $1 prefixes; null is all. $2 the prefix to go on after, $3 how many agents
select
    a.agent_id, a.agent_prefix, a.template_version, a.reference, a.xmin::text as row_version,
    array(
        select t.relation::oid
        from provisioning.agent_tables t
        join pg_catalog.pg_class c on c.oid = t.relation and c.relname = t.table_name
        where t.agent_id = a.agent_id
    ) as tables,
    (coalesce((
        select jsonb_agg(jsonb_build_object(
            'name', d.table_name,
            'wanted', format('%I.%I', 'public', d.table_name),
            'now', format('%I.%I', d.schema_name, d.relation_name),
            'displacement', d.displacement,
            'obstacle', d.obstacle,
            'back', d.back)
            order by d.table_name)
        from provisioning.displaced_tables d
        where d.agent_id = a.agent_id
    ), '[]') || coalesce((
        select jsonb_agg(jsonb_build_object(
            'name', t.type_name,
            'wanted', format('%I.%I', 'public', t.type_name),
            'now', format('%I.%I', n.nspname, y.typname),
            'displacement', concat_ws(' and ',
                case when n.nspname <> 'public' then format('moved to schema %I', n.nspname) end,
                case when y.typname <> t.type_name then format('renamed to %I', y.typname) end),
            'obstacle', case when twin.oid is not null then format('in its place stands type %s', twin.oid::regtype) end,
            'back', concat_ws('; ',
                case when n.nspname <> 'public' then format('alter type %I.%I set schema public', n.nspname, y.typname) end,
                case when y.typname <> t.type_name then format('alter type public.%I rename to %I', y.typname, t.type_name) end))
            order by t.type_name)
        from provisioning.agent_types t
        join pg_catalog.pg_type y on y.oid = t.type
        join pg_catalog.pg_namespace n on n.oid = y.typnamespace
        left join pg_catalog.pg_type twin on twin.typnamespace = 'public'::regnamespace
            and twin.typname = t.type_name and twin.oid <> y.oid
        where t.agent_id = a.agent_id and (n.nspname <> 'public' or y.typname <> t.type_name)
    ), '[]'))::text as displaced,
    array(
        select t.type::oid
        from provisioning.agent_types t
        join pg_catalog.pg_type y on y.oid = t.type and y.typname = t.type_name
        where t.agent_id = a.agent_id
    ) as types
from provisioning.agents a
where ($1 is null or a.agent_prefix = any ($1)) and a.agent_prefix > $2
order by a.agent_prefix
limit $3
