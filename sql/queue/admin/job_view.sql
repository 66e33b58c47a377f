-- Jobs as people see them: what runs, then what needs a person, then what is due, then the past.
-- Which session is on a job is told by its name and its role, which every role sees; since when it has been at
-- it, only roles that have the worker's privileges or pg_read_all_stats.
-- $1 ids; null is any
-- $2 states, as people see them: running is what a session is on, and is pending, too; null is any
-- $3 prefix, a pattern of LIKE; null is any
-- $4 kinds; null is any
-- $5 most rows
-- $6 SQLSTATE of the last error, a pattern of LIKE; null is any
-- $7 seconds: created within them; null is any
-- $8 in which order: null as above, else newest, age, prefix or failures
-- $9 a text in the last error; null is any
-- $10 only ids below it; null is any
-- $11 the whole prefix, $12 how the pattern in $3 begins; null is any. Row security keeps LIKE off the indexes, and not these
-- `wanted` is asked for three times, each time by an index of its own: once for all it would be every job there is.
with worker as materialized (
    select distinct on (a.application_name)
        a.application_name as name,
        a.pid,
        a.usename::text as role,
        a.xact_start,
        a.wait_event_type = 'Lock' as waiting
    from pg_catalog.pg_stat_activity a
    where a.datname = current_database() and a.application_name ^@ 'agent-provisioner job '
      and provisioning.is_own_session(a.usesysid, a.application_name)
    order by a.application_name, a.xact_start desc nulls last
), wanted as not materialized (
    select j.* from provisioning.jobs j
    where ($1::bigint[] is null or j.id = any ($1))
      and ($3 is null or j.agent_prefix like $3) and ($11::text is null or j.agent_prefix = $11)
      and ($12::text is null or j.agent_prefix ~>=~ $12 and j.agent_prefix ~<~ ($12 || chr(1114111)))
      and ($4::text[] is null or j.kind = any ($4))
      and ($6 is null or j.last_error is not null and j.last_sqlstate like $6)
      and ($7::float8 is null or isfinite(j.created_at) and j.created_at > now() - $7 * interval '1 second')
      and ($9 is null
           or j.last_error is not null and position(lower($9 collate "C") in lower(j.last_error collate "C")) > 0)
      and ($10::bigint is null or j.id < $10)
), open as (
    select j.* from wanted j
    where j.state in ('pending', 'dead', 'paused')
      and ($2::text[] is null or $2 && '{pending,dead,paused,running}')
      and ($2::text[] is null or j.state = any ($2) or j.state = 'pending' and 'running' = any ($2))
), finished as not materialized (
    select j.* from wanted j
    -- Nobody finishes a job before it was created. An hour is left for a clock that was set back.
    where $7::float8 is null or j.finished_at > now() - ($7 + 3600) * interval '1 second'
), found as materialized (
    select j.*, coalesce(w.label, j.state) as seen_as, w.pid, w.role, w.xact_start, w.waiting
    from (
        (select j.* from open j
         -- The newest are a page of their own, unless only a session tells which are meant.
         order by case when $8 = 'newest' then j.id end desc
         limit case when $8 = 'newest' and ($2::text[] is null or not 'running' = any ($2)) then $5 end)
        union all
        (select j.* from finished j
         where j.state = 'succeeded' and ($2::text[] is null or 'succeeded' = any ($2))
         order by
             case $8 when 'prefix' then j.agent_prefix end,
             case $8 when 'failures' then -j.attempts when 'age' then j.id end,
             j.id desc
         limit $5)
        union all
        (select j.* from finished j
         where j.state = 'cancelled' and ($2::text[] is null or 'cancelled' = any ($2))
         order by
             case $8 when 'prefix' then j.agent_prefix end,
             case $8 when 'failures' then -j.attempts when 'age' then j.id end,
             j.id desc
         limit $5)
    ) j
    left join (select 'running' as label, worker.* from worker) w
        on j.state = 'pending' and w.name = 'agent-provisioner job ' || j.id
    where $2::text[] is null or coalesce(w.label, j.state) = any ($2) or j.state = any ($2)
), placed as (
    select f.*, row_number() over (
        order by
            case when $8 is null then
                case f.seen_as
                    when 'running' then 0 when 'dead' then 1 when 'paused' then 2 when 'pending' then 3 else 4
                end
            end,
            case $8 when 'prefix' then f.agent_prefix end,
            case $8 when 'failures' then -f.attempts when 'age' then f.id when 'newest' then -f.id end,
            -- As they will run.
            case when f.seen_as = 'pending' then f.priority end, case when f.seen_as = 'pending' then f.run_at end,
            case when f.seen_as = 'pending' then f.id else -f.id end
        ) as place
    from found f
), page as materialized (
    select p.* from placed p order by p.place limit $5
)
select
    p.id, p.kind, p.seen_as, p.agent_id, p.agent_prefix, p.user_id::text as user_id,
    p.requested_by, p.force, p.plan, p.template_version, p.reference, p.keys_removed, p.unreported, p.deletion_confirmed,
    p.priority, p.attempts, p.outcome, p.last_error, p.last_sqlstate, p.last_error_code, p.last_error_file,
    p.last_error_line, p.last_error_statement, p.last_error_detail, p.last_error_hint, array_remove(p.last_error_relations, null) as last_error_relations,
    coalesce(to_char(p.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), p.created_at::text) as created_at,
    coalesce(to_char(p.run_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), p.run_at::text) as run_at,
    coalesce(to_char(p.finished_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), p.finished_at::text) as finished_at,
    round(extract(epoch from p.duration) * 1000, 1)::float8 as duration_ms,
    p.replayed_by, p.replay_reason, p.give_ways, p.lock_wanted,
    coalesce(to_char(p.replayed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), p.replayed_at::text) as replayed_at,
    case when isfinite(p.created_at) then extract(epoch from now() - p.created_at)::float8 end as age_seconds,
    p.pid,
    p.role,
    round(extract(epoch from clock_timestamp() - p.xact_start), 1)::float8 as seconds,
    case when p.waiting then pg_blocking_pids(p.pid) else '{}' end as blocked_by_pids,
    e.id as waits_for,
    e.state as waits_for_state
from page p
left join lateral (
    -- A dead or paused one is named first, because it needs a person.
    select w.earlier as id, w.earlier_state as state
    from provisioning.job_waits w
    where w.job = p.id
    order by w.earlier_state = 'pending', w.earlier
    limit 1
) e on true
order by p.place
