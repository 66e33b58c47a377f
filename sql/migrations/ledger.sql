-- What `migrate` has applied here. Runs before everything else, so each statement may run again. The function is here
-- and not in sql/base because it guards what follows.
create schema if not exists provisioning;

-- What bears the name of an object of ours, and belongs to a role that is neither `trusted` nor a superuser. Its
-- owner could change what an admin is, or have his own code run with the rights of whoever uses it. In schema
-- public a function of ours counts with any arguments: a call could mean another's.
create or replace function provisioning.objects_of_others(trusted name)
returns table (object text, owner text, fix text)
    language sql stable set search_path = pg_catalog, pg_temp as $$
    select o.kind || ' ' || o.name, quote_ident(r.rolname),
        format('alter %s %s owner to %I;', o.kind, o.name, objects_of_others.trusted)
    from (
        select 'schema' as kind, quote_ident(n.nspname) as name, n.nspowner as owner
        from pg_namespace n where n.nspname in ('provisioning', 'provisioning_trash')
        union all
        select case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence'
                   when 'f' then 'foreign table' when 'i' then 'index' when 'I' then 'index' when 'c' then 'type'
                   else 'table' end,
            format('%I.%I', n.nspname, c.relname), c.relowner
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'provisioning' and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
           or n.nspname = 'public' and c.relname in (
               'users', 'agents', 'whatsapp_configuration', 'agents_id_seq', 'whatsapp_configuration_id_seq',
               'users_role_idx', 'agents_created_by_idx', 'whatsapp_configuration_is_active_idx',
               'whatsapp_configuration_user_id_is_active_idx', 'businesses', 'user_businesses', 'business_invitations',
               'meta_apps', 'whatsapp_numbers', 'agent_states', 'agents_business_id_idx', 'user_businesses_business_id_user_id_idx',
               'business_invitations_user_id_idx', 'business_invitations_email_idx',
               'business_invitations_invited_by_idx', 'meta_apps_business_id_idx', 'whatsapp_numbers_business_id_idx',
               'whatsapp_numbers_meta_app_id_idx', 'whatsapp_numbers_agent_id_business_id_idx')
        union all
        select case y.typtype when 'd' then 'domain' else 'type' end, format('public.%I', y.typname), y.typowner
        from pg_type y join pg_namespace n on n.oid = y.typnamespace
        where n.nspname = 'public' and y.typname = 'role'
        union all
        select case p.prokind when 'p' then 'procedure' when 'a' then 'aggregate' else 'function' end,
            format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)), p.proowner
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where n.nspname = 'provisioning'
           or n.nspname = 'public' and p.proname in (
               'create_agent', 'update_agent_details', 'delete_agent', 'agent_status', 'create_agent_tables',
               'drop_agent_tables', 'create_agent_indexes', 'create_whatsapp_config', 'get_whatsapp_config',
               'update_whatsapp_config', 'delete_whatsapp_config', 'create_business', 'invite_member',
               'accept_invitation', 'change_member_role', 'remove_member', 'add_whatsapp_number',
               'update_business_settings', 'move_agent', 'route_message', 'secret_status', 'get_whatsapp_token',
               'get_meta_app_secrets')
    ) o
    join pg_roles r on r.oid = o.owner
    where not r.rolsuper and r.rolname <> objects_of_others.trusted
    order by 1
$$;

do $$
declare
    found text;
    fixes text;
begin
    select string_agg(format('%s belongs to role %s', o.object, o.owner), ', '), string_agg(o.fix, ' ')
    into found, fixes
    from provisioning.objects_of_others(current_user) o;
    if found is not null then
        raise exception '%: it has to belong to % or to a superuser', found, quote_ident(current_user)
            using errcode = 'insufficient_privilege',
                  hint = 'Where that role owns the whole schema, migrate as that role. Else see what it is; then, as a '
                      'superuser, drop it, or take it over: ' || fixes;
    end if;
end $$;

create table if not exists provisioning.migrations (
    version     integer primary key,
    description text not null,
    checksum    text not null,      -- sha256 of the file, in hex
    applied_at  timestamptz not null default now(),
    applied_by  text not null default current_user
);

-- The files of sql/base, as they were applied last.
create table if not exists provisioning.repeatables (
    name       text primary key,
    checksum   text not null,       -- sha256 of the file, in hex
    program    text not null,       -- the version of the program that applied it
    applied_at timestamptz not null default now(),
    applied_by text not null default current_user
);

-- Who may do what is in sql/base. But a database whose ledger was lost is recorded by `migrate baseline`, which runs no
-- other file than this. Only where something is missing: this locks the tables, and workers read them.
do $$
declare
    ours record;
begin
    for ours in
        select c.oid::regclass as name, c.relrowsecurity,
            exists (select from pg_catalog.pg_policy p
                    where p.polrelid = c.oid and p.polname = 'no_api_access') as closed
        from pg_catalog.pg_class c
        where c.oid in ('provisioning.migrations'::regclass, 'provisioning.repeatables'::regclass)
    loop
        if not ours.relrowsecurity then
            execute format('alter table %s enable row level security', ours.name);
            execute format('revoke all on %s from public, anon, authenticated, service_role', ours.name);
        end if;
        if not ours.closed then
            execute format('create policy no_api_access on %s for all to authenticated using (false)', ours.name);
        end if;
    end loop;
end $$;
