-- Meta apps with their business and how many numbers they have, and which of their secrets are set.
select m.id::text as id, m.app_id, m.name, m.business_id::text as business_id, b.name as business,
    (select count(*) from public.whatsapp_numbers n where n.meta_app_id = m.id) as numbers,
    s.last_four as app_secret_last_four, s.key_id as app_secret_key_id, s.set_by as app_secret_set_by,
    coalesce(to_char(s.set_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), s.set_at::text) as app_secret_set_at,
    v.last_four as verify_token_last_four, v.key_id as verify_token_key_id, v.set_by as verify_token_set_by,
    coalesce(to_char(v.set_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), v.set_at::text) as verify_token_set_at
from public.meta_apps m
left join public.businesses b on b.id = m.business_id
left join provisioning.secrets s on s.meta_app_id = m.id and s.kind = 'app_secret'
left join provisioning.secrets v on v.meta_app_id = m.id and v.kind = 'verify_token'
order by b.name nulls first, m.app_id
