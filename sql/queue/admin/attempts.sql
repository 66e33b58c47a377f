-- How the attempts at a job ended, the first one first.
-- $1 job
select
    a.number, a.result, a.times, a.host, a.pid, a.outcome, a.error, a.error_code, a.sqlstate,
    to_char(a.started_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as started_at,
    to_char(a.ended_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as ended_at,
    round(extract(epoch from a.duration) * 1000, 1)::float8 as duration_ms
from provisioning.attempts a
where a.job = $1
order by a.number
