-- The user whom an operator names. E-mail addresses are the same in other letters, unless several users differ by them alone.
-- $1 an id or an e-mail address
select u.id::text as id
from public.users u
where lower($1 collate "C") in (u.id::text, lower(u.email collate "C"))
  and (u.email = $1 or not exists (
      select from public.users o where o.id <> u.id and lower(o.email collate "C") = lower($1 collate "C")))
