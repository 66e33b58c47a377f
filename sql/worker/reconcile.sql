-- A sweep. No row: another one is under way.
-- `hidden` counts the agents that this role does not see, though they exist. It, and the rest, are asked as this role.
select r.missing, r.orphaned,
    (select count(*) from provisioning.living_agents() l
     where not exists (select from public.agents a where a.id = l.id)) as hidden,
    exists (select from provisioning.trash where purge_at <= now()) as expired,
    provisioning.end_clock_waits() as clock_waits
from provisioning.reconcile() r
