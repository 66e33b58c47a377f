-- How many jobs are pending while no instance runs that takes them: one whose templates go as far as an upgrade wants.
-- $1 ids
with running as materialized (
    select substring(i.settings ->> 'templates' from '^version ([0-9]{1,9}),')::integer as version
    from provisioning.instances i
    where provisioning.is_current(i.seen_at)
)
select count(*)
from provisioning.jobs j
where j.id = any ($1) and j.state = 'pending'
  and not exists (
      select from running r where j.template_version is null or r.version is null or r.version >= j.template_version)
