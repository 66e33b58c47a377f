-- What finished, minute by minute of the last hour, and which jobs changed in the last minute, as one JSON object.
-- $1 most jobs
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
), changed as (
    (select j.id, j.state from provisioning.jobs j
     where j.state in ('pending', 'dead', 'paused')
     order by j.id desc limit $1)
    union all
    (select j.id, j.state from provisioning.jobs j
     where j.state in ('succeeded', 'cancelled') and j.finished_at > now() - interval '1 minute'
     order by j.finished_at desc limit $1)
)
select jsonb_build_object(
    'minutes', (select jsonb_agg(jsonb_build_object('succeeded', m.succeeded, 'dead', m.dead) order by m.ago desc) from minute m),
    'changed', (
        select coalesce(jsonb_agg(jsonb_build_object('id', c.id, 'state', c.state) order by c.id), '[]')
        from changed c)
)::text as recent
