-- Open jobs out of the queue for good; what they held up is then free, so workers are told.
-- $1 ids, $2 reason, $3 who, besides the role, $4 dry run
with picked as materialized (
    -- Skips what a worker is on.
    select j.id
    from provisioning.jobs j
    where j.id = any ($1) and j.state in ('pending', 'dead', 'paused')
    for update of j skip locked
), cancelled as (
    update provisioning.jobs j
    set state = 'cancelled', finished_at = clock_timestamp(),
        outcome = 'cancelled by ' || current_user || coalesce(' (' || $3 || ')', '')
            || coalesce(': ' || $2, '')
    from picked p
    where p.id = j.id and not $4
    returning j.id
), told as materialized (
    select provisioning.notify('agent_provisioning') from (select from cancelled limit 1) c
)
select
    m.id, j.kind, j.agent_prefix, j.state, null::bigint as twin, null::text as twin_state,
    p.id is not null as picked,
    (select count(*) from told) as told
from (select distinct id from unnest($1) n (id)) m
left join provisioning.jobs j on j.id = m.id
left join picked p on p.id = m.id
order by 1
