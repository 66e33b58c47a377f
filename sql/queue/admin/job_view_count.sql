-- How many jobs a list would have without its limit; of finished ones so many are counted.
-- $1 states, as in the table; null is any
-- $2 prefix, $3 kinds, $4 SQLSTATE, $5 seconds, $7 text, $8 ids: as in job_view.sql, and so are the three parts
-- $6 most
-- $9 the whole prefix, $10 how the pattern in $2 begins: as $11 and $12 there
with wanted as not materialized (
    select j.state, j.finished_at from provisioning.jobs j
    where ($1::text[] is null or j.state = any ($1))
      and ($2 is null or j.agent_prefix like $2) and ($9::text is null or j.agent_prefix = $9)
      and ($10::text is null or j.agent_prefix ~>=~ $10 and j.agent_prefix ~<~ ($10 || chr(1114111)))
      and ($3::text[] is null or j.kind = any ($3))
      and ($4 is null or j.last_error is not null and j.last_sqlstate like $4)
      and ($5::float8 is null or isfinite(j.created_at) and j.created_at > now() - $5 * interval '1 second')
      and ($7 is null
           or j.last_error is not null and position(lower($7 collate "C") in lower(j.last_error collate "C")) > 0)
      and ($8::bigint[] is null or j.id = any ($8))
), finished as not materialized (
    select j.state from wanted j
    where $5::float8 is null or j.finished_at > now() - ($5 + 3600) * interval '1 second'
)
select count(*)
from (
    (select from wanted j
     where j.state in ('pending', 'dead', 'paused')
       and ($1::text[] is null or $1 && '{pending,dead,paused}') limit $6)
    union all
    (select from finished j
     where j.state = 'succeeded' and ($1::text[] is null or 'succeeded' = any ($1)) limit $6)
    union all
    (select from finished j
     where j.state = 'cancelled' and ($1::text[] is null or 'cancelled' = any ($1)) limit $6)
    limit $6
) counted
