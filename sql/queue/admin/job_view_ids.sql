-- The jobs that a filter finds.
-- $1 states, as in the table
-- $2 prefix, $3 kinds, $4 SQLSTATE, $5 seconds, $6 text: as in job_view.sql
-- $7 ids; null is any
select j.id
from provisioning.jobs j
where j.state = any ($1) and ($2 is null or j.agent_prefix like $2)
  and ($3::text[] is null or j.kind = any ($3)) and ($4 is null or j.last_sqlstate like $4)
  and ($5::float8 is null or isfinite(j.created_at) and j.created_at > now() - $5 * interval '1 second')
  and ($6 is null or position(lower($6 collate "C") in lower(j.last_error collate "C")) > 0)
  and ($7::bigint[] is null or j.id = any ($7))
order by j.id
