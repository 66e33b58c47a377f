-- The instances that run on this database, and whether they are configured alike.
--
-- Which instance takes a job is chance. Where two of them differ in a setting that decides what a job does, so
-- is what becomes of an agent. So each instance shows its settings to the others.

-- A row that was not refreshed for 30 seconds belongs to an instance that is gone, and is not counted.
create table provisioning.instances (
    id         bigint primary key,          -- drawn at random by the instance when it starts
    host       text not null,
    pid        integer not null,            -- of the process, as its host numbers it
    version    text not null,               -- of the program
    settings   jsonb not null,              -- setting: value, as text
    started_at timestamptz not null default now(),
    seen_at    timestamptz not null default now()
);

alter table provisioning.instances enable row level security;
revoke all on provisioning.instances from public, anon, authenticated, service_role;
create policy no_api_access on provisioning.instances for all to authenticated using (false);

-- Whether an instance runs that was last seen then. Not if that is in the future by as much: the server's
-- clock was set back since, and an instance that runs has been seen again.
create function provisioning.is_current(seen_at timestamptz) returns boolean
    language sql stable set search_path = pg_catalog, pg_temp as $$
    select seen_at between now() - interval '30 seconds' and now() + interval '30 seconds'
$$;

-- The settings in which other instances that run differ from these. A setting that only one of two programs
-- knows is none.
-- me: the instance that asks; null for none
create function provisioning.differing_instances(me bigint, settings jsonb)
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

-- Refreshes an instance's row, forgets instances that are gone, sends the instance's notification to itself
-- (where there is a payload), and returns what differs: at least one row.
create function provisioning.show_instance(
    me bigint, host text, pid integer, version text, settings jsonb, channel text, payload text
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
    insert into provisioning.instances as i (id, host, pid, version, settings)
    values (me, host, pid, version, settings)
    on conflict on constraint instances_pkey do update set seen_at = now();
    delete from provisioning.instances i
    where i.id in (
        select g.id from provisioning.instances g
        where not provisioning.is_current(g.seen_at)
        for update skip locked);
    if payload is not null then
        sent := provisioning.notify(channel, payload);
    end if;
    return query
    select sent, d.setting, d.own, d.other, d.host, d.pid
    from (values (1)) one
    left join provisioning.differing_instances(me, settings) d on true;
end $$;

revoke all on function provisioning.is_current(timestamptz) from public, anon, authenticated, service_role;
revoke all on function provisioning.differing_instances(bigint, jsonb)
    from public, anon, authenticated, service_role;
revoke all on function provisioning.show_instance(bigint, text, integer, text, jsonb, text, text)
    from public, anon, authenticated, service_role;
