-- Sets a secret of a number or an app, in the place of a former one.
-- $1 its kind
-- $2 the id of the number or the app
-- $3 the business of the number, which $4 is bound to; null for an app
-- $4 the ciphertext
-- $5 the last four characters of a long one
-- $6 who asks, besides the role
merge into provisioning.secrets s
using (values ($2::uuid, $3::uuid)) o (owner, business)
on s.kind = $1 and o.owner = coalesce(s.whatsapp_number_id, s.meta_app_id)
when matched and s.business_id is not distinct from case when $1 = 'access_token' then o.business end
    then update set ciphertext = $4, last_four = $5, set_at = now(), set_by = provisioning.requester($6)
when not matched then insert (kind, whatsapp_number_id, business_id, meta_app_id, ciphertext, last_four, set_by)
    values (
        $1, case when $1 = 'access_token' then o.owner end, case when $1 = 'access_token' then o.business end,
        case when $1 <> 'access_token' then o.owner end, $4, $5, provisioning.requester($6))
