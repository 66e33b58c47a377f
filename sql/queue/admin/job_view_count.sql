-- How many jobs a list would have without its limit; of finished ones so many are counted.
-- $1 states, as in the table; null is any
-- $2 prefix, $3 kinds, $4 SQLSTATE, $5 seconds, $7 text, $8 ids: as in job_view.sql
-- $6 most
select count(*)
from (
    select from provisioning.jobs j
    where ($1::text[] is null or j.state = any ($1)) and ($2 is null or j.agent_prefix like $2)
      and ($3::text[] is null or j.kind = any ($3)) and ($4 is null or j.last_sqlstate like $4)
      and ($5::float8 is null or isfinite(j.created_at) and j.created_at > now() - $5 * interval '1 second')
      and ($7 is null or position(lower($7 collate "C") in lower(j.last_error collate "C")) > 0)
      and ($8::bigint[] is null or j.id = any ($8))
    limit $6
) counted
