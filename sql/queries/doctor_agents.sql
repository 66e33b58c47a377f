-- What of public.agents this role does not see, and the policies that may hide rows from it.
select
    count(*) as living,
    count(*) filter (where not exists (select from public.agents a where a.id = l.id)) as hidden,
    array(
        select quote_ident(p.polname) from pg_catalog.pg_policy p
        where p.polrelid = 'public.agents'::regclass and not p.polpermissive and p.polcmd in ('r', '*')
          and row_security_active('public.agents')
          and exists (select from unnest(p.polroles) r where r = 0 or pg_has_role(r, 'usage'))
        order by 1
    ) as restrictive,
    row_security_active('public.agents') and not exists (
        select from pg_catalog.pg_policy p
        where p.polrelid = 'public.agents'::regclass and p.polpermissive and p.polcmd in ('r', '*')
          and exists (select from unnest(p.polroles) r where r <> 0 and pg_has_role(r, 'usage'))
    ) as without_policy
from provisioning.living_agents() l
