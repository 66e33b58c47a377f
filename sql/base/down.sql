-- Takes away what the repeatable files made: triggers, policies, the views and the functions. Tables stay, and so do
-- row security and grants: a table without its policies is closed.
--
-- Functions that agents' tables use stay while there are such tables. 0003_registry.down.sql refuses then.
do $$
declare
    ours  record;
    built boolean := false;
begin
    if to_regclass('provisioning.agents') is not null then
        built := exists (select from provisioning.agents);
    end if;

    for ours in
        select format('alter table %s alter %I drop default', a.attrelid::regclass, a.attname) as statement
        from pg_catalog.pg_attribute a
        where a.attrelid = to_regclass('public.agents') and a.attname in ('agent_prefix', 'business_id') and a.atthasdef
    loop
        execute ours.statement;
    end loop;

    for ours in
        select format('drop trigger %I on %s', t.tgname, t.tgrelid::regclass) as statement
        from pg_catalog.pg_trigger t
        join pg_catalog.pg_class c on c.oid = t.tgrelid
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        join pg_catalog.pg_proc f on f.oid = t.tgfoid and f.pronamespace = 'provisioning'::regnamespace
        where not t.tgisinternal
          and (n.nspname = 'provisioning'
               or n.nspname = 'public' and c.relname in (
                   'users', 'agents', 'whatsapp_configuration', 'businesses', 'user_businesses', 'meta_apps',
                   'whatsapp_numbers'))
    loop
        execute ours.statement;
    end loop;

    for ours in
        select format('drop policy %I on %s', p.polname, p.polrelid::regclass) as statement
        from pg_catalog.pg_policy p
        where p.polname = 'no_api_access'
              and exists (select from pg_catalog.pg_class c
                          where c.oid = p.polrelid and c.relnamespace = 'provisioning'::regnamespace)
           or p.polrelid in (to_regclass('public.users'), to_regclass('public.agents'),
                             to_regclass('public.whatsapp_configuration'))
              and p.polname in (
                  'users_select', 'users_insert', 'users_update', 'users_delete',
                  'agents_select', 'agents_insert', 'agents_update', 'agents_delete',
                  'whatsapp_configuration_select', 'whatsapp_configuration_insert',
                  'whatsapp_configuration_update', 'whatsapp_configuration_delete')
           -- These tables are ours alone.
           or p.polname ^@ (select c.relname || '_' from pg_catalog.pg_class c where c.oid = p.polrelid)
              and p.polrelid in (to_regclass('public.businesses'), to_regclass('public.user_businesses'),
                                 to_regclass('public.business_invitations'), to_regclass('public.meta_apps'),
                                 to_regclass('public.whatsapp_numbers'), to_regclass('public.agent_states'))
    loop
        execute ours.statement;
    end loop;

    -- auth.users is not ours: its two triggers go with their function.
    if to_regprocedure('provisioning.sync_user()') is not null then
        drop function provisioning.sync_user() cascade;
    end if;

    drop view if exists provisioning.job_waits, provisioning.displaced_tables;

    -- The wrappers in schema public depend on functions in schema provisioning, so they go first.
    for ours in
        select format('drop routine %s', p.oid::regprocedure) as statement
        from pg_catalog.pg_proc p
        where p.pronamespace = 'provisioning'::regnamespace and p.proname <> 'objects_of_others'
              and not (built and p.proname in (
                  'owned_agent', 'staffed_agent', 'is_admin', 'next_id', 'touch_updated_at', 'total_orders',
                  'check_number', 'note_messages'))
           or p.pronamespace = 'public'::regnamespace and p.prorettype <> 'trigger'::regtype and p.proname in (
               'create_agent', 'update_agent_details', 'delete_agent', 'agent_status', 'agent_statuses',
               'create_whatsapp_config', 'get_whatsapp_config', 'update_whatsapp_config', 'delete_whatsapp_config',
               'create_agent_tables', 'drop_agent_tables', 'create_agent_indexes',
               'create_business', 'invite_member', 'accept_invitation', 'change_member_role', 'remove_member',
               'add_whatsapp_number', 'update_business_settings', 'move_agent', 'route_message', 'secret_status',
               'get_whatsapp_token', 'get_meta_app_secrets')
        order by p.pronamespace <> 'public'::regnamespace
    loop
        execute ours.statement;
    end loop;
end $$;
