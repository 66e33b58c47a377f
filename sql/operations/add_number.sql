-- Adds a WhatsApp number, as the backend does.
-- $1 phone_number_id
-- $2 business_account_id
-- $3 the number, as people write it
-- $4 app_id of its app
-- $5 the id of its business; null: its app's or its agent's
-- $6 its agent's prefix; null: it has none
select r.success, r.message, r.number ->> 'id' as id
from (select m.id, m.business_id from public.meta_apps m where m.app_id = $4) m
left join public.agents a on a.agent_prefix = $6
cross join lateral public.add_whatsapp_number(
    coalesce($5::uuid, m.business_id, a.business_id), m.id, $1, $2, $3, a.id) r
where $6 is null or a.id is not null
