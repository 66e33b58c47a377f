-- Accepts a finding, or accepts it anew.
-- $1 key, $2 severity, $3 reason, $4 who asks, besides the role, $5 the last day; null is for good
insert into provisioning.accepted_findings as a (key, severity, reason, accepted_by, until)
values ($1, $2, left($3, 1000), provisioning.requester($4), $5::text::date)
on conflict (key) do update
set severity = excluded.severity, reason = excluded.reason, accepted_by = excluded.accepted_by,
    accepted_at = excluded.accepted_at, until = excluded.until
returning a.key, a.severity, a.reason, a.accepted_by,
    to_char(a.accepted_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as accepted_at,
    a.until::text as until,
    coalesce(a.until >= (now() at time zone 'UTC')::date, true) as holds
