-- How the attempts at a job ended, the first one first.
-- $1 job
select
    a.number, a.result, a.times, a.host, a.pid, a.outcome, a.error, a.error_code, a.sqlstate,
    coalesce(to_char(a.started_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), a.started_at::text) as started_at,
    coalesce(to_char(a.ended_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), a.ended_at::text) as ended_at,
    round(extract(epoch from a.duration) * 1000, 1)::float8 as duration_ms
from provisioning.attempts a
where a.job = $1
order by a.number
