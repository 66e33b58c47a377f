-- Whether jobs are taken: the instances that run, those that ended without saying so, and the jobs that wait; and the connections
-- that there are for instances, and that the worker's role may have (-1: any number). Of the jobs that wait `newer` want templates
-- that no worker has, up to `version`. One row.
select
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int as connections,
    coalesce((select r.rolconnlimit from pg_catalog.pg_roles r where r.oid = provisioning.worker_role()), -1) as connection_limit,
    (select count(*) from provisioning.instances i where provisioning.is_current(i.seen_at)) as running,
    array(
        select format('%s (pid %s)', i.host, i.pid) || case when isfinite(i.seen_at)
            then format(', last seen %s s ago', greatest(0, floor(extract(epoch from now() - i.seen_at)))) else '' end
        from provisioning.instances i
        where not provisioning.is_current(i.seen_at)
        order by i.host, i.pid
    ) as lost,
    overdue.jobs as overdue, overdue.minutes, overdue.newer, overdue.version
from (
    select count(*) as jobs, count(*) filter (where r.version < j.template_version) as newer,
        max(j.template_version) filter (where r.version < j.template_version) as version, floor(extract(epoch from now() - min(j.due_at)) / 60)::bigint as minutes
    from provisioning.jobs j
    -- The newest templates that a worker has.
    cross join (
        select max(substring(i.settings ->> 'templates' from '^version ([0-9]{1,9}),')::integer) as version
        from provisioning.instances i where provisioning.is_current(i.seen_at)
    ) r
    where j.state = 'pending' and isfinite(j.due_at) and j.due_at < now() - interval '1 minute' and j.run_at <= now()
      and not exists (select from provisioning.job_waits w where w.job = j.id)
) overdue
