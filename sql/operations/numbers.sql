-- WhatsApp numbers with their business, app and agent, and whether they have a token.
select n.id::text as id, n.phone_number_id, n.display_number, n.business_id::text as business_id, b.name as business,
    m.app_id, a.agent_prefix::text as agent_prefix, n.is_active, s.last_four, s.key_id, s.set_by,
    coalesce(to_char(s.set_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), s.set_at::text) as set_at
from public.whatsapp_numbers n
join public.businesses b on b.id = n.business_id
join public.meta_apps m on m.id = n.meta_app_id
left join public.agents a on a.id = n.agent_id
left join provisioning.secrets s on s.whatsapp_number_id = n.id and s.kind = 'access_token'
order by b.name, b.id, n.phone_number_id
