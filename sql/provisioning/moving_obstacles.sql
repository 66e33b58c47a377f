-- What keeps an agent from coming here, and what to do about it. No row: nothing does.
-- $1 what is carried, $2 its id here, $3 the move
with given as materialized (
    select $1::jsonb as carried, $2::bigint as id, $3::text::uuid as move
), agent as materialized (
    select g.id, g.move, (g.carried #>> '{agent,id}')::bigint as former_id, g.carried #>> '{agent,agent_prefix}' as prefix,
        (g.carried #>> '{agent,user_id}')::uuid as user_id, (g.carried #>> '{agent,business_id}')::uuid as business_id,
        g.carried ->> 'business' as business
    from given g
), numbers as materialized (
    select n.number ->> 'phone_number_id' as phone_number_id, (n.number ->> 'id')::uuid as id, n.number ->> 'app_id' as app_id
    from given g, jsonb_array_elements(g.carried -> 'numbers') n (number)
), found as (
    select 1 as place, format('the prefix %s is taken, by agent %s', a.prefix, o.id) as obstacle,
        'delete that agent, or leave this one where it is' as fix
    from agent a join public.agents o on o.agent_prefix = a.prefix
    union all
    select 1, format('the prefix %s is taken, by what is left of agent %s', a.prefix, o.agent_id),
        format('see: agents show %s', a.prefix)
    from agent a join provisioning.agents o on o.agent_prefix = a.prefix
    where not exists (select from public.agents l where l.agent_prefix = a.prefix)
    union all
    select 1, format('agent %s is being moved here with that prefix or that id', o.agent_prefix),
        'end that move first; see: doctor'
    from agent a join provisioning.moves o on (o.agent_prefix = a.prefix or o.agent_id = a.id) and o.id <> a.move
        and o.ended_at is null
    union all
    select 2, format('the id %s is taken, by agent %s', a.id, o.agent_prefix), 'build it under an id of this database: --new-id'
    from agent a join public.agents o on o.id = a.id and o.agent_prefix <> a.prefix
    union all
    select 2, format('the id %s was that of agent %s, of which there are jobs, tables or trash', a.id, o.prefix),
        'build it under an id of this database: --new-id'
    from agent a
    cross join lateral (
        select min(x.prefix) as prefix from (
            select p.agent_prefix as prefix from provisioning.agents p where p.agent_id = a.id
            union all select j.agent_prefix from provisioning.jobs j where j.agent_id = a.id
            union all select t.agent_prefix from provisioning.trash t where t.agent_id = a.id
            union all select d.agent_prefix from provisioning.deleted_agents d where d.agent_id = a.id) x
        where x.prefix <> a.prefix) o
    where o.prefix is not null and not exists (select from public.agents l where l.id = a.id)
    union all
    select 3, format('job %s of the prefix is %s', j.id, j.state), format('see: jobs show %s', j.id)
    from agent a join provisioning.jobs j on j.agent_prefix = a.prefix and j.state in ('pending', 'dead', 'paused')
    union all
    select 4, format('user %s (%s) is not there', u.who ->> 'id', u.who ->> 'email'),
        format('make the user with that id: on Supabase auth.admin.createUser({ id: %L, email: %L }), elsewhere as postgres: '
            'insert into auth.users (id, email) values (%1$L, %2$L);', u.who ->> 'id', u.who ->> 'email')
    from given g, jsonb_array_elements(g.carried -> 'users') u (who)
    where not exists (select from public.users o where o.id = (u.who ->> 'id')::uuid)
    union all
    select 5, format('its user has another agent there, %s', o.agent_prefix), 'a user has one agent: delete that one, or give it to another user'
    from agent a join public.agents o on o.user_id = a.user_id and o.agent_prefix <> a.prefix
    union all
    select 6, format('its business %s (%s) is not there', a.business_id, a.business),
        format('as postgres: insert into public.businesses (id, name) values (%L, %L);', a.business_id, a.business)
    from agent a where not exists (select from public.businesses b where b.id = a.business_id)
    union all
    select 7, format('the app %s of its number %s is not there', n.app_id, n.phone_number_id),
        format('agent-provisioner apps add %s --name NAME, there; then its secrets: apps set-secret', n.app_id)
    from numbers n where not exists (select from public.meta_apps m where m.app_id = n.app_id)
    union all
    select 7, format('the app %s of its number %s belongs to another business there', n.app_id, n.phone_number_id),
        'give the number to an app of its business, or of the platform'
    from numbers n join public.meta_apps m on m.app_id = n.app_id join agent a on m.business_id <> a.business_id
    union all
    select 8, format('the number %s is another one there', n.phone_number_id), 'delete that number'
    from numbers n join public.whatsapp_numbers o on o.phone_number_id = n.phone_number_id and o.id <> n.id
    union all
    select 8, format('the number %s is in use there', n.phone_number_id), 'take that number from its agent'
    from numbers n join public.whatsapp_numbers o on o.id = n.id and o.agent_id is not null
    union all
    select 9, 'its user has an active WhatsApp configuration there, which is another one',
        format('as postgres: update public.whatsapp_configuration set is_active = false where user_id = %L;', a.user_id)
    from agent a join given g on true
    join public.whatsapp_configuration w on w.user_id = a.user_id and w.is_active
    where jsonb_typeof(g.carried -> 'whatsapp') = 'object'
      and (w.whatsapp_number, w.webhook_url, w.api_key, w.verify_token) is distinct from (
          g.carried #>> '{whatsapp,whatsapp_number}', g.carried #>> '{whatsapp,webhook_url}', g.carried #>> '{whatsapp,api_key}',
          g.carried #>> '{whatsapp,verify_token}')
    union all
    select 9, 'its user has an active WhatsApp configuration there, which would lead messages to the copy',
        format('as postgres: update public.whatsapp_configuration set is_active = false where user_id = %L;', a.user_id)
    from agent a join given g on (g.carried ->> 'is_copy')::boolean
    join public.whatsapp_configuration w on w.user_id = a.user_id and w.is_active
)
select f.obstacle, f.fix from found f order by f.place, f.obstacle
