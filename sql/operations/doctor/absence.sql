-- What of public.agents this role does not see, and the policies that may hide rows from it; and whose tables are
-- kept because the deletion was cancelled after the row had gone.
select
    array(
        select format('%s (%s)', b.agent_prefix, b.agent_id) from provisioning.agents b
        where not exists (select from provisioning.living_agents(array[b.agent_id]))
          and exists (select from provisioning.jobs j where j.agent_id = b.agent_id and j.kind = 'deprovision'
                      and j.state = 'cancelled')
          and not exists (select from provisioning.jobs j where j.agent_id = b.agent_id and j.kind = 'deprovision'
                          and j.state in ('pending', 'dead', 'paused'))
        order by b.agent_prefix
    ) as kept,
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
