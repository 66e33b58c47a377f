-- The jobs that are pending while no instance runs that takes them: one whose templates go as far as an upgrade wants. None where
-- this role does not see the instances.
-- $1 ids
-- $2 seconds: due for as long; null: due or not
with running as materialized (
    select substring(i.settings ->> 'templates' from '^version ([0-9]{1,9}),')::integer as version
    from provisioning.instances i
    where provisioning.is_current(i.seen_at)
)
select j.id
from provisioning.jobs j
where j.id = any ($1) and j.state = 'pending'
  and ($2::float8 is null or j.run_at <= now() and isfinite(j.due_at) and j.due_at < now() - $2 * interval '1 second')
  and (not row_security_active('provisioning.instances') or pg_has_role(provisioning.worker_role(), 'usage')
      or current_user = 'agent_console')
  and not exists (
      select from running r where j.template_version is null or r.version is null or r.version >= j.template_version)
