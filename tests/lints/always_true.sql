-- A policy for more than reading that is true for everybody, or that is for everybody.
select p.polrelid::regclass || '.' || p.polname
from pg_policy p join pg_class c on c.oid = p.polrelid and c.relnamespace = any (:schemas)
where p.polpermissive and (
    0 = any (p.polroles)
    or pg_get_expr(p.polqual, p.polrelid) in ('true', '(true)', '(1 = 1)')
    or pg_get_expr(p.polwithcheck, p.polrelid) in ('true', '(true)', '(1 = 1)')
    or (p.polcmd in ('a', 'w', '*') and p.polqual is null and p.polwithcheck is null)
)
