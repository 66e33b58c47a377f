-- A table without row level security, or with it and no policy, or with policies and without it.
select c.oid::regclass || case when c.relrowsecurity then ' has no policy' else ' has none' end
from pg_class c
where c.relkind in ('r', 'p') and c.relnamespace = any (:schemas)
  and not (c.relrowsecurity and exists (select from pg_policy p where p.polrelid = c.oid))
