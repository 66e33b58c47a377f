-- Agents with what stands for them: the rows in public.agents, tables that outlived their agent,
-- and agents of which only open jobs are left.
-- Who exists is asked in a way that row security cannot filter. Of agents of which only jobs are left, which may be very many,
-- nothing is asked that they cannot have.
-- $1 prefix; null is any
with living as materialized (
    select l.id, l.agent_prefix from provisioning.living_agents() l
), known as (
    select a.id as agent_id, a.agent_prefix, true as alive
    from living a
    where $1 is null or a.agent_prefix = $1
    union all
    select b.agent_id, b.agent_prefix, false
    from provisioning.agents b
    where ($1 is null or b.agent_prefix = $1)
      and not exists (select from living a where a.id = b.agent_id)
    union all
    select distinct j.agent_id, j.agent_prefix, false
    from provisioning.jobs j
    where ($1 is null or j.agent_prefix = $1)
      and j.state in ('pending', 'dead', 'paused')
      and not exists (select from living a where a.id = j.agent_id)
      and not exists (select from provisioning.agents b where b.agent_id = j.agent_id)
)
select
    k.agent_prefix, k.agent_id, k.alive, b.template_version, b.reference,
    -- A deletion that was given up, or is not done, has taken the key off.
    coalesce(
        b.reference = 'foreign_key'
        and b.removed_keys @> '[{"refers_to_schema": "public", "refers_to": "agents"}]'
        and not exists (
            select from provisioning.agent_tables t
            join pg_catalog.pg_constraint c on c.conrelid = t.relation and c.contype = 'f'
                and c.confrelid = 'public.agents'::regclass
            where t.agent_id = b.agent_id), false) as key_removed,
    case
        when how.state = 'ready' and exists (
            select from provisioning.displaced_tables d where d.agent_id = k.agent_id) then 'renamed'
        when how.state = 'ready' and drift.agent_id is not null then 'drifted'
        else how.state
    end as state,
    coalesce(to_char(b.provisioned_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), b.provisioned_at::text) as provisioned_at,
    coalesce(to_char(drift.drifted_since at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), drift.drifted_since::text)
        as drifted_since,
    case when b.agent_id is null then 0 else (
        select count(*) from provisioning.agent_tables t
        join pg_catalog.pg_class c on c.oid = t.relation
        where t.agent_id = k.agent_id) end as tables,
    coalesce(case when b.agent_id is not null then (
        select jsonb_agg(jsonb_build_object('table', d.table_name, 'displacement', d.displacement) order by d.table_name)
        from provisioning.displaced_tables d
        where d.agent_id = k.agent_id) end, '[]')::text as displaced,
    last.id as job_id, last.kind as job_kind, last.state as job_state,
    last.last_error as job_error, last.last_error_code as job_error_code, last.last_sqlstate as job_sqlstate
from known k
left join provisioning.agents b on b.agent_id = k.agent_id
left join provisioning.drifted_agents drift on drift.agent_id = k.agent_id
left join lateral (
    select j.state, j.due_at from provisioning.jobs j
    where j.agent_id = k.agent_id and j.kind = 'deprovision' order by j.id desc limit 1
) deletion on true
left join lateral (
    select j.id, j.state, j.due_at from provisioning.jobs j
    where j.agent_id = k.agent_id and j.kind = 'provision' order by j.id desc limit 1
) build on true
cross join lateral (
    select provisioning.agent_state(
        k.alive, b.agent_id is not null, deletion.state, build.state,
        k.alive and b.agent_id is null and exists (
            select from provisioning.job_waits w where w.job = build.id and w.earlier_state in ('dead', 'paused')),
        case
            when deletion.state = 'pending' then provisioning.no_worker(deletion.due_at)
            else k.alive and b.agent_id is null and provisioning.no_worker(build.due_at)
        end) as state
) how
left join lateral (
    select j.id, j.kind, j.state, j.last_error, j.last_error_code, j.last_sqlstate from provisioning.jobs j
    where j.agent_id = k.agent_id order by j.id desc limit 1
) last on true
order by k.agent_prefix, k.agent_id desc
