-- What verify, repair, adopt, upgrade and convert need: jobs that say what is wanted, types that
-- belong to agents, and membership in publications that somebody else owns.

alter table provisioning.jobs
    -- repair: 'force' or nothing; upgrade: the template version; convert: the reference.
    add column argument text,
    drop constraint jobs_kind_check,
    add constraint jobs_kind_check
        check (kind in ('provision', 'deprovision', 'upgrade', 'repair', 'convert'));

-- As agent_tables, for the enum types that templates make.
create table provisioning.agent_types (
    type      regtype primary key,
    agent_id  bigint not null references provisioning.agents (agent_id) on delete cascade,
    type_name text not null
);
create index agent_types_agent_id_idx on provisioning.agent_types (agent_id);

alter table provisioning.agent_types enable row level security;
revoke all on provisioning.agent_types from public, anon, authenticated, service_role;
create policy no_api_access on provisioning.agent_types for all to authenticated using (false);

-- Adds a table to a publication, unless it is in it. Only the publication's owner may do that, which
-- on Supabase is postgres and not the worker: so this is a definer, for tables of the caller's own.
create function provisioning.publish(relation regclass, publication name default 'supabase_realtime')
returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    target record;
begin
    perform provisioning.refuse_in_trigger();
    select c.oid, c.relowner, n.nspname, c.relname into target
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.oid = relation and c.relkind in ('r', 'p');
    if target is null or not pg_catalog.pg_has_role(session_user, target.relowner, 'USAGE') then
        raise exception '% is no table of role %', relation, session_user
            using errcode = 'insufficient_privilege';
    end if;
    if exists (select from pg_catalog.pg_publication p
               where p.pubname = publication
                 and (p.puballtables or exists (
                     select from pg_catalog.pg_publication_rel r
                     where r.prpubid = p.oid and r.prrelid = target.oid))) then
        return;
    end if;
    execute format('alter publication %I add table %I.%I', publication, target.nspname, target.relname);
end $$;

revoke all on function provisioning.publish(regclass, name)
    from public, anon, authenticated, service_role;
