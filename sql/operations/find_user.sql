-- The user whom an operator names.
-- $1 an id or an e-mail address
select u.id::text as id from public.users u where $1 in (u.id::text, u.email)
