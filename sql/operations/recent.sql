-- What finished, minute by minute of the last hour, and the states of some jobs, as one JSON object.
-- $1 the jobs
with minute as (
    select n as ago, count(j.finished_at) filter (where j.state = 'succeeded') as succeeded,
        count(j.finished_at) filter (where j.state = 'dead') as dead
    from generate_series(0, 59) n
    left join (
        select j.state, j.finished_at from provisioning.jobs j
        where j.state in ('succeeded', 'cancelled') and j.finished_at > now() - interval '1 hour' and isfinite(j.finished_at)
        union all
        select j.state, j.finished_at from provisioning.jobs j
        where j.state = 'dead' and j.finished_at > now() - interval '1 hour' and isfinite(j.finished_at)
    ) j on floor(extract(epoch from now() - j.finished_at) / 60) = n
    group by n
)
select jsonb_build_object(
    'minutes', (select jsonb_agg(jsonb_build_object('succeeded', m.succeeded, 'dead', m.dead) order by m.ago desc) from minute m),
    'jobs', (
        select coalesce(jsonb_agg(jsonb_build_object('id', j.id, 'state', j.state) order by j.id), '[]')
        from provisioning.jobs j where j.id = any ($1))
)::text as recent
