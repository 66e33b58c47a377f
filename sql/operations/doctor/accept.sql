-- Accepts a finding.
-- $1 key, $2 severity, $3 reason, $4 who asks, besides the role, $5 the last day; null is for good
select a.key, a.severity, a.reason, a.accepted_by,
    coalesce(to_char(a.accepted_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), a.accepted_at::text) as accepted_at,
    a.until::text as until,
    coalesce(a.until >= (now() at time zone 'UTC')::date, true) as holds
from provisioning.accept_finding($1, $2, $3, $5::text::date, $4) a
