-- The jobs that a filter finds.
-- $1 states, as in the table
-- $2 prefix, $3 kinds, $4 SQLSTATE, $5 seconds: as in job_view.sql
select j.id
from provisioning.jobs j
where j.state = any ($1) and ($2 is null or j.agent_prefix like $2)
  and ($3::text[] is null or j.kind = any ($3)) and ($4 is null or j.last_sqlstate like $4)
  and ($5::float8 is null or isfinite(j.created_at) and j.created_at > now() - $5 * interval '1 second')
order by j.id
