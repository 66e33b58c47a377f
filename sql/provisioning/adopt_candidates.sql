-- Agents with relations and types that bear the names of the templates' and are registered to nobody, each with what keeps
-- it from being taken over; and unregistered agents whose prefix is against the rule.
-- $1 prefixes; null is all, $2 ends of the templates' table names, such as _customers, $3 of types'
with wanted as materialized (
    select a.id, a.agent_prefix::text as prefix, p.agent_id is not null as registered
    from public.agents a
    left join provisioning.agents p on p.agent_id = a.id
    where $1 is null or a.agent_prefix = any ($1)
), found as materialized (
    select u.id, u.prefix, c.oid, 'table' as kind, c.relname::text as bare_name, c.relowner as owner,
        c.relkind in ('r', 'p') as fits, format('%I.%I', 'public', c.relname) as name, e.place,
        exists (select from pg_catalog.pg_constraint k
                where k.conrelid = c.oid and k.contype = 'f'
                  and k.confrelid = 'public.agents'::regclass) as keyed,
        -- Of two agents, one's prefix may be the head of the other's.
        (select min(b.agent_prefix::text)
         from unnest($2) s (suffix)
         join public.agents b on b.agent_prefix = left(c.relname, length(c.relname) - length(s.suffix))
         where right(c.relname, length(s.suffix)) = s.suffix and s.suffix <> e.suffix) as twin,
        u.registered,
        -- The registered one, where somebody has put another in its place.
        (select format('%I.%I, which was %s', d.schema_name, d.relation_name, d.displacement)
         from provisioning.displaced_tables d
         where d.agent_id = u.id and d.table_name = c.relname limit 1) as displaced
    from wanted u
    cross join unnest($2) with ordinality e (suffix, place)
    join pg_catalog.pg_class c
        on c.relname = u.prefix || e.suffix and c.relnamespace = 'public'::regnamespace
    where not exists (select from provisioning.agent_tables t where t.relation = c.oid)
    union all
    select u.id, u.prefix, y.oid, 'type', y.typname::text, y.typowner, true,
        format('%I.%I', 'public', y.typname), e.place, false, null, u.registered,
        (select format('%I.%I', n.nspname, o.typname)
         from provisioning.agent_types t
         join pg_catalog.pg_type o on o.oid = t.type
         join pg_catalog.pg_namespace n on n.oid = o.typnamespace
         where t.agent_id = u.id and t.type_name = y.typname limit 1)
    from wanted u
    cross join unnest($3) with ordinality e (suffix, place)
    join pg_catalog.pg_type y
        on y.typname = u.prefix || e.suffix and y.typnamespace = 'public'::regnamespace
        and y.typtype = 'e'
    where not exists (select from provisioning.agent_types t where t.type = y.oid)
)
select
    f.*,
    f.owner::regrole::text as owner_name,
    pg_has_role(f.owner, 'usage') as may_alter,
    current_user::text as asker,
    (select p.agent_id from provisioning.agents p where p.agent_prefix = f.prefix and p.agent_id <> f.id) as former,
    (select min(j.id) from provisioning.jobs j
     where j.agent_id = f.id and j.kind = 'deprovision' and j.state in ('pending', 'paused')) as leaving
from found f
union all
select u.id, u.prefix, null, null, null, null, null, null, null, null, null, u.registered, null,
    null, null, null, null, null
from wanted u
where not u.registered and u.prefix !~ '^[a-z][a-z0-9_]{1,19}$'
order by 2, 4, 9
