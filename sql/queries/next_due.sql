-- When to look again, after a claim that found nothing: null for never, 0 for soon, since a job is due
-- and in another worker's hands; and which jobs to look at, where all that a claim looks at are held up.
-- The wait may be too short (what is not due yet may be held up, too), but never too long.
-- $1 kinds, $2 template version, as $1 and $4 in claim.sql
with recursive near as materialized (
    select n.id, n.kind, n.agent_id, n.agent_prefix
    from provisioning.jobs n
    where n.state = 'pending' and n.run_at <= now() and n.kind = any ($1)
      and not (n.kind = 'upgrade' and n.argument ~ '^[0-9]{1,9}$' and n.argument::int > $2)
    order by n.priority, n.run_at, n.id
    limit 32
), free as materialized (
    select from near j
    where (
        select e.agent_prefix = j.agent_prefix and e.id < j.id
        from provisioning.jobs e
        where e.state in ('pending', 'dead')
          and e.agent_prefix >= j.agent_prefix
          and not (j.kind = 'deprovision' and e.agent_id = j.agent_id)
        order by e.agent_prefix, e.id
        limit 1
    ) is not true
    limit 1
), head (id, agent_id, agent_prefix) as (
    -- From prefix to prefix, each one's first job: any number may wait behind it.
    (
        select f.id, f.agent_id, f.agent_prefix
        from provisioning.jobs f
        where f.state in ('pending', 'dead')
          and (select count(*) from near) = 32
          and not exists (select from free)
        order by f.agent_prefix, f.id
        limit 1
    )
    union all
    select f.id, f.agent_id, f.agent_prefix
    from head last
    cross join lateral (
        select f.id, f.agent_id, f.agent_prefix
        from provisioning.jobs f
        where f.state in ('pending', 'dead') and f.agent_prefix > last.agent_prefix
        order by f.agent_prefix, f.id
        limit 1
    ) f
), far as materialized (
    select j.id
    from head
    cross join lateral (
        select o.* from provisioning.jobs o where o.id = head.id and o.state = 'pending'
        union all
        select o.* from provisioning.jobs o
        where o.agent_id = head.agent_id and o.kind = 'deprovision' and o.state = 'pending'
    ) j
    where j.run_at <= now() and j.kind = any ($1)
      and not (j.kind = 'upgrade' and j.argument ~ '^[0-9]{1,9}$' and j.argument::int > $2)
    order by j.priority, j.run_at, j.id
    limit 32
)
select
    case when exists (select from free) or exists (select from far) then 0
         else (
             select extract(epoch from min(l.run_at) - clock_timestamp())::float8
             from provisioning.jobs l
             where l.state = 'pending' and l.run_at > now() and l.kind = any ($1)
               and not (l.kind = 'upgrade' and l.argument ~ '^[0-9]{1,9}$' and l.argument::int > $2)
         )
    end as wait,
    (select array_agg(far.id) from far) as far,
    -- For a program that may be older than the schema by now.
    coalesce((select max(m.version) from provisioning.migrations m), 0) as version
