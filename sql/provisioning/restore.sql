-- Takes an agent out of the trash: its row, registration and WhatsApp configuration are as they were,
-- and the statements bring the rest back, each table after what moves with it. Its foreign keys are off, which the
-- registry knows. No row: it is not in the trash any more. A user who is gone, or has another agent by now, is left out.
-- Of a business that is gone the agent comes into the default business.
-- $1 number in the trash
with item as materialized (
    delete from provisioning.trash t where t.id = $1 returning *
), kept as materialized (
    select r.kind, r.original_schema, r.name, r.trash_name,
        case r.kind
            when 'type' then to_regtype(format('provisioning_trash.%I', r.trash_name))::oid
            when 'statistics' then (
                select s.oid from pg_catalog.pg_statistic_ext s
                where s.stxnamespace = 'provisioning_trash'::regnamespace and s.stxname = r.trash_name)
            else to_regclass(format('provisioning_trash.%I', r.trash_name))::oid
        end as oid
    from provisioning.trash_relations r
    where r.trash_id = $1
), agent as (
    insert into public.agents (id, agent_prefix, created_at, user_id, created_by, business_id)
    select i.agent_id, i.agent_prefix, coalesce(i.created_at, i.provisioned_at), u.id, c.id,
        coalesce(b.id, '00000000-0000-0000-0000-000000000001')
    from item i
    left join public.businesses b on b.id = i.business_id
    left join public.users c on c.id = i.created_by
    left join public.users u on u.id = i.user_id
        and not exists (select from public.agents a where a.user_id = i.user_id)
    returning user_id
), registered as (
    insert into provisioning.agents (
        agent_id, agent_prefix, user_id, template_version, reference, provisioned_at, removed_keys)
    select i.agent_id, i.agent_prefix, a.user_id, i.template_version, i.reference, i.provisioned_at,
        (select coalesce(jsonb_agg(e.entry order by e.place), '[]')
         from jsonb_array_elements(i.restore_actions) with ordinality e (entry, place) where e.entry ->> 'what' = 'key')
    from item i, agent a
    returning 1
), tables as (
    insert into provisioning.agent_tables (relation, agent_id, table_name)
    select k.oid::regclass, i.agent_id, k.name from item i, kept k
    where k.kind = 'table' and k.oid is not null
    returning 1
), types as (
    insert into provisioning.agent_types (type, agent_id, type_name)
    select k.oid::regtype, i.agent_id, k.name from item i, kept k
    where k.kind = 'type' and k.oid is not null
    returning 1
), whatsapp as (
    update public.whatsapp_configuration w set is_active = true, updated_at = now()
    from item i, agent a
    where i.whatsapp and w.user_id = a.user_id and not w.is_active
), forgotten as (
    delete from provisioning.deleted_agents d using item i where d.agent_id = i.agent_id
)
select
    -- Whether a rule or a trigger swallowed one of the rows.
    (select count(*) from agent) = 1 and (select count(*) from registered) = 1
        and (select count(*) from tables) = (select count(*) from kept where kind = 'table' and oid is not null)
        and (select count(*) from types) = (select count(*) from kept where kind = 'type' and oid is not null)
        as complete,
    i.owner_known,
    i.built_for::text as built_for,
    i.user_id is distinct from (select a.user_id from agent a) as orphaned,
    -- Of the tables; whoever has them may rename and grant.
    (select c.relowner::regrole::text from kept k join pg_catalog.pg_class c on c.oid = k.oid
     where k.kind = 'table' limit 1) as owner,
    -- What is registered, and where the statements put it.
    array(select k.oid from kept k where k.kind = 'table' and k.oid is not null order by k.oid) as tables,
    array(select k.original_schema from kept k where k.kind = 'table' and k.oid is not null order by k.oid) as schemas,
    array(select k.name from kept k where k.kind = 'table' and k.oid is not null order by k.oid) as names,
    array(
        select s.statement
        from kept k
        cross join lateral (values
            (1, format('alter %s provisioning_trash.%I rename to %I', k.kind, k.trash_name, k.name)),
            (2, case when k.kind in ('table', 'statistics', 'type')
                     then format('alter %s provisioning_trash.%I set schema %I', k.kind, k.name, k.original_schema)
                end)
        ) s (step, statement)
        left join pg_catalog.pg_index x on k.kind = 'index' and x.indexrelid = k.oid
        left join pg_catalog.pg_depend d on k.kind = 'sequence' and d.classid = 'pg_catalog.pg_class'::regclass
            and d.objid = k.oid and d.deptype in ('a', 'i') and d.refclassid = 'pg_catalog.pg_class'::regclass
        where k.oid is not null and s.statement is not null
        order by
            case k.kind when 'table' then k.oid when 'index' then x.indrelid when 'sequence' then d.refobjid end
                nulls first,
            k.kind = 'table', k.oid, s.step
    ) as statements,
    array(select e.entry::text from jsonb_array_elements(i.restore_actions) with ordinality e (entry, place)
          where e.entry ->> 'what' <> 'key' order by e.place) as restore_actions
from item i
