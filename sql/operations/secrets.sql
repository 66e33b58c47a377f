-- Secrets in the order of their ids, with what each is bound to.
-- $1 not those of this key; '' for all
-- $2 those after this id
-- $3 at most so many
select s.id::text as id, s.kind, coalesce(n.phone_number_id, m.app_id) as owner, coalesce(n.id, m.id)::text as row,
    coalesce(n.business_id, m.business_id)::text as business, s.ciphertext
from provisioning.secrets s
left join public.whatsapp_numbers n on n.id = s.whatsapp_number_id
left join public.meta_apps m on m.id = s.meta_app_id
where s.key_id <> $1 and s.id > $2::uuid
order by s.id
limit $3
