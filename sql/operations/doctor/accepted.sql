-- The findings that a person has accepted, whether they still are or not.
select a.key, a.severity, a.reason, a.accepted_by,
    coalesce(to_char(a.accepted_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), a.accepted_at::text) as accepted_at,
    a.until::text as until,
    coalesce(a.until >= (now() at time zone 'UTC')::date, true) as holds
from provisioning.accepted_findings a
order by a.key
