-- Whether an instance runs, and how it differs from the others.

-- Whether an instance runs that was last seen then. Not if that is in the future by as much: the server's
-- clock was set back since, and an instance that runs has been seen again.
create or replace function provisioning.is_current(seen_at timestamptz) returns boolean
    language sql stable set search_path = pg_catalog, pg_temp as $$
    select seen_at between now() - interval '30 seconds' and now() + interval '30 seconds'
$$;

-- Whether a job has been due for a minute, and no worker runs. due: null for a job that nobody has queued.
create or replace function provisioning.no_worker(due timestamptz) returns boolean
    language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce(due < now() - interval '1 minute', true)
       and not exists (select from provisioning.instances i where provisioning.is_current(i.seen_at))
$$;

-- The worker's role: the one that the policy "worker" of the queue names. Where that policy is gone, the one that
-- deploy/roles.sql has made here. Null: the owner of the schema is the worker.
create or replace function provisioning.worker_role() returns oid
    language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce(
        (select nullif(p.polroles[1], 0) from pg_policy p
         where p.polrelid = 'provisioning.jobs'::regclass and p.polname = 'worker'),
        (select r.oid from pg_roles r
         where r.rolname = 'agent_provisioner' and has_schema_privilege(r.oid, 'provisioning', 'usage')))
$$;

-- The settings in which other instances that run differ from these. A setting that only one of two programs
-- knows is none.
-- me: the instance that asks; null for none
create or replace function provisioning.differing_instances(me bigint, settings jsonb)
returns table (setting text, own text, other text, host text, pid integer)
    language sql stable set search_path = pg_catalog, pg_temp as $$
    select s.key, s.value, i.settings ->> s.key, i.host, i.pid
    from provisioning.instances i
    cross join jsonb_each_text(differing_instances.settings) s
    where i.id is distinct from me
      and provisioning.is_current(i.seen_at)
      and i.settings ->> s.key <> s.value
    order by s.key, i.host, i.pid
$$;

-- Refreshes an instance's row, forgets instances that are gone (one that ended without a word is remembered for an hour, or until
-- another has started on its host), sends the instance's notification to itself
-- (where there is a payload), and returns what differs: at least one row.
create or replace function provisioning.show_instance(
    me bigint, host text, pid integer, version text, settings jsonb, state jsonb, channel text, payload text
) returns table (
    notified boolean,               -- null: nothing was to be sent
    setting text, own text, other text, other_host text, other_pid integer  -- null: nothing differs
)
    language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    sent boolean;
begin
    -- After a crash of the server the row is shown again: nothing has to wait for the disk.
    perform set_config('synchronous_commit', 'off', true);
    insert into provisioning.instances as i (id, host, pid, version, settings, state)
    values (me, host, pid, version, settings, state)
    on conflict on constraint instances_pkey do update set seen_at = now(), state = excluded.state;
    delete from provisioning.instances i
    where i.id in (
        select g.id from provisioning.instances g
        where not provisioning.is_current(g.seen_at)
          and (g.seen_at not between now() - interval '1 hour' and now()
               or exists (select from provisioning.instances r where r.host = g.host and r.started_at > g.seen_at))
        for update skip locked);
    if payload is not null then
        sent := provisioning.notify(channel, payload);
    end if;
    return query
    select sent, d.setting, d.own, d.other, d.host, d.pid
    from (values (1)) one
    left join provisioning.differing_instances(me, settings) d on true;
end $$;
