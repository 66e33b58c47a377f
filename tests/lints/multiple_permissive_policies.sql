-- Several permissive policies for the same role and action: all of them are evaluated.
select c.oid::regclass || ' ' || r.role::regrole || ' ' || a.action
from pg_policy p
join pg_class c on c.oid = p.polrelid and c.relnamespace = any (:schemas),
unnest(p.polroles) r (role),
unnest(array['r', 'a', 'w', 'd']) a (action)
where p.polpermissive and p.polcmd in ('*', a.action)
group by c.oid, r.role, a.action
having count(*) > 1
