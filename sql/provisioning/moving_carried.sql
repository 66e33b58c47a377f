-- An agent as it is to go: its row, what other tables that all agents share have of it, and what an operator needs to make room for
-- it elsewhere. Its rows there are locked against changes where that is asked for by the caller before.
-- $1 prefix, $2 whether the numbers and the configuration go, too: what leads messages to it
select a.id, p.template_version, u.oids as tables, jsonb_build_object(
    'agent', jsonb_build_object(
        'id', a.id, 'agent_prefix', a.agent_prefix, 'created_at', a.created_at, 'user_id', a.user_id, 'created_by', a.created_by,
        'business_id', a.business_id),
    'template_version', p.template_version,
    'is_copy', not $2,
    'users', (
        select coalesce(jsonb_agg(jsonb_build_object('id', o.id, 'email', o.email) order by o.id), '[]')
        from public.users o where o.id in (a.user_id, a.created_by)),
    'business', (select b.name from public.businesses b where b.id = a.business_id),
    'numbers', case when $2 then (
        select coalesce(jsonb_agg(to_jsonb(n) || jsonb_build_object(
            'app_id', m.app_id,
            'secrets', (
                select coalesce(jsonb_agg(jsonb_build_object(
                    'kind', s.kind, 'ciphertext', encode(s.ciphertext, 'hex'), 'last_four', s.last_four,
                    'set_at', s.set_at, 'set_by', s.set_by)), '[]')
                from provisioning.secrets s where s.whatsapp_number_id = n.id))
            order by n.phone_number_id), '[]')
        from public.whatsapp_numbers n join public.meta_apps m on m.id = n.meta_app_id
        where n.agent_id = a.id) else '[]' end,
    'whatsapp', case when $2 then (
        select to_jsonb(w) - 'id' from public.whatsapp_configuration w where w.user_id = a.user_id) end
    )::text as carried
from public.agents a
join provisioning.agents p on p.agent_id = a.id
cross join lateral (
    select coalesce(array_agg(c.oid order by c.oid), '{}') as oids
    from provisioning.agent_tables t join pg_catalog.pg_class c on c.oid = t.relation and c.relname = t.table_name
    where t.agent_id = a.id) u
where a.agent_prefix = $1
