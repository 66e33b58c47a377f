-- A secret that the API shows to more than its owner and admins: to anon at all, or to
-- authenticated by a policy that names no owner.
select a.attrelid::regclass || '.' || a.attname
from pg_attribute a
join pg_class c on c.oid = a.attrelid and c.relnamespace = 'public'::regnamespace
where a.attname ~ 'key|token|secret|password' and c.relkind in ('r', 'p', 'v', 'm')
  and (has_column_privilege('anon', c.oid, a.attnum, 'select')
       or has_column_privilege('authenticated', c.oid, a.attnum, 'select') and (
           not c.relrowsecurity
           or exists (
               select from pg_policy p
               where p.polrelid = c.oid and p.polcmd in ('r', '*') and p.polpermissive
                 and 'authenticated'::regrole = any (p.polroles)
                 and coalesce(pg_get_expr(p.polqual, p.polrelid), '') !~ 'user_id = '
           )))
