-- The instances that run: how many, the settings in which they differ from each other, and those in which one
-- differs from these. One row.
-- $1 settings
with running as (
    select i.host, i.pid, i.settings
    from provisioning.instances i
    where provisioning.is_current(i.seen_at)
), configured as (
    select s.key as setting, s.value,
        string_agg(format('%s (pid %s)', r.host, r.pid), ', ' order by r.host, r.pid) as instances
    from running r
    cross join jsonb_each_text(r.settings) s
    group by s.key, s.value
)
select
    (select count(*) from running) as running,
    array(
        select format('%s is %s', c.setting,
            string_agg(format('"%s" on %s', c.value, c.instances), ' and ' order by c.value))
        from configured c
        group by c.setting
        having count(*) > 1
        order by c.setting
    ) as differ,
    array(
        select distinct d.setting from provisioning.differing_instances(null, $1::jsonb) d order by d.setting
    ) as differ_here
