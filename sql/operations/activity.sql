-- What persons have done, the latest first.
-- $1 only before this id; null is from the latest on
-- $2 part of who has done it; null is any
-- $3 what; null is any
-- $4 seconds: so long ago at the most; null is any time
-- $5 most rows
-- $6 done to this job; null is any
select a.id, a.done_by, a.action, a.reason, array_remove(a.jobs, null) as jobs, a.job_count, a.rollout, a.finding,
    coalesce(to_char(a.done_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), a.done_at::text) as done_at,
    array(select j.id from provisioning.jobs j where j.id = any (a.jobs[1:5]) order by j.id) as present,
    -- Of jobs that are there: a few, for people.
    (select string_agg(p.agent_prefix, ', ' order by p.agent_prefix)
     from (select distinct j.agent_prefix from provisioning.jobs j where j.id = any (a.jobs[1:5])) p) as prefixes
from provisioning.actions a
where ($1::bigint is null or a.id < $1)
  and ($2::text is null or position(lower($2 collate "C") in lower(a.done_by collate "C")) > 0)
  and ($3::text is null or a.action = $3)
  and ($4::float8 is null or a.done_at > now() - $4 * interval '1 second')
  and ($6::bigint is null or $6 = any (a.jobs))
order by a.id desc
limit $5
