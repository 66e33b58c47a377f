-- Row security, and the policies of the API's roles. Those of the worker's role are in deploy/roles.sql.

set local client_min_messages = warning;    -- policies that are not there yet

-- Only where it is off, or forced: each of these locks its table. The tables of schema provisioning are out of the API's
-- reach already. Their policy is written down, so that nobody has to wonder whether row security without one was meant.
do $$
declare
    ours record;
begin
    for ours in
        select c.oid::regclass as name, c.relnamespace = 'provisioning'::regnamespace as closed,
            c.relrowsecurity and not c.relforcerowsecurity as enabled,
            p.polname is not null as has_policy,
            -- What pg_get_expr() says of "using (false)".
            coalesce(p.polpermissive and p.polcmd = '*' and p.polroles = array['authenticated'::regrole::oid]
                     and pg_get_expr(p.polqual, p.polrelid) = 'false' and p.polwithcheck is null, false) as as_meant
        from pg_catalog.pg_class c
        left join pg_catalog.pg_policy p on p.polrelid = c.oid and p.polname = 'no_api_access'
        where c.relkind in ('r', 'p')
          and (c.relnamespace = 'provisioning'::regnamespace
               or c.oid in ('public.users'::regclass, 'public.agents'::regclass, 'public.whatsapp_configuration'::regclass,
                            'public.businesses'::regclass, 'public.user_businesses'::regclass,
                            'public.business_invitations'::regclass, 'public.meta_apps'::regclass,
                            'public.whatsapp_numbers'::regclass, 'public.agent_states'::regclass))
    loop
        if not ours.enabled then
            execute format('alter table %s enable row level security, no force row level security', ours.name);
        end if;
        if ours.closed and not ours.as_meant then
            if ours.has_policy then
                execute format('drop policy no_api_access on %s', ours.name);
            end if;
            execute format('create policy no_api_access on %s for all to authenticated using (false)', ours.name);
        end if;
    end loop;
end $$;

-- users: everybody signed in reads; admins do the rest.
drop policy if exists users_select on public.users;
create policy users_select on public.users for select to authenticated
    using ((select auth.uid()) is not null);

drop policy if exists users_insert on public.users;
create policy users_insert on public.users for insert to authenticated
    with check ((select provisioning.is_admin()));

drop policy if exists users_update on public.users;
create policy users_update on public.users for update to authenticated
    using ((select provisioning.is_admin())) with check ((select provisioning.is_admin()));

drop policy if exists users_delete on public.users;
create policy users_delete on public.users for delete to authenticated
    using ((select provisioning.is_admin()));

-- agents: everybody signed in reads; creating one builds tables, which is an admin's to decide;
-- the owner, the creator, owners and admins of its business, and admins change and delete.
drop policy if exists agents_select on public.agents;
create policy agents_select on public.agents for select to authenticated
    using ((select auth.uid()) is not null);

drop policy if exists agents_insert on public.agents;
create policy agents_insert on public.agents for insert to authenticated
    with check ((select provisioning.is_admin()));

drop policy if exists agents_update on public.agents;
create policy agents_update on public.agents for update to authenticated
    using (
        user_id = (select auth.uid()) or created_by = (select auth.uid())
        or business_id = any ((select provisioning.my_businesses('admin'))::uuid[])
        or (select provisioning.is_admin())
    )
    with check (
        user_id = (select auth.uid()) or created_by = (select auth.uid())
        or business_id = any ((select provisioning.my_businesses('admin'))::uuid[])
        or (select provisioning.is_admin())
    );

drop policy if exists agents_delete on public.agents;
create policy agents_delete on public.agents for delete to authenticated
    using (
        user_id = (select auth.uid()) or created_by = (select auth.uid())
        or business_id = any ((select provisioning.my_businesses('admin'))::uuid[])
        or (select provisioning.is_admin())
    );

-- whatsapp_configuration holds API keys: its owner and admins only.
drop policy if exists whatsapp_configuration_select on public.whatsapp_configuration;
create policy whatsapp_configuration_select on public.whatsapp_configuration
    for select to authenticated
    using (user_id = (select auth.uid()) or (select provisioning.is_admin()));

drop policy if exists whatsapp_configuration_insert on public.whatsapp_configuration;
create policy whatsapp_configuration_insert on public.whatsapp_configuration
    for insert to authenticated
    with check (user_id = (select auth.uid()) or (select provisioning.is_admin()));

drop policy if exists whatsapp_configuration_update on public.whatsapp_configuration;
create policy whatsapp_configuration_update on public.whatsapp_configuration
    for update to authenticated
    using (user_id = (select auth.uid()) or (select provisioning.is_admin()))
    with check (user_id = (select auth.uid()) or (select provisioning.is_admin()));

drop policy if exists whatsapp_configuration_delete on public.whatsapp_configuration;
create policy whatsapp_configuration_delete on public.whatsapp_configuration
    for delete to authenticated
    using (user_id = (select auth.uid()) or (select provisioning.is_admin()));

-- businesses: its members read; its owners and admins change; its owners delete. create_business makes one.
drop policy if exists businesses_select on public.businesses;
create policy businesses_select on public.businesses for select to authenticated
    using (id = any ((select provisioning.my_businesses('staff'))::uuid[]) or (select provisioning.is_admin()));

drop policy if exists businesses_update on public.businesses;
create policy businesses_update on public.businesses for update to authenticated
    using (id = any ((select provisioning.my_businesses('admin'))::uuid[]) or (select provisioning.is_admin()))
    with check (id = any ((select provisioning.my_businesses('admin'))::uuid[]) or (select provisioning.is_admin()));

drop policy if exists businesses_delete on public.businesses;
create policy businesses_delete on public.businesses for delete to authenticated
    using (id = any ((select provisioning.my_businesses('owner'))::uuid[]) or (select provisioning.is_admin()));

-- user_businesses: members see each other. Functions write.
drop policy if exists user_businesses_select on public.user_businesses;
create policy user_businesses_select on public.user_businesses for select to authenticated
    using (business_id = any ((select provisioning.my_businesses('staff'))::uuid[]) or (select provisioning.is_admin()));

-- business_invitations: the invited, and the owners and admins who may take an invitation back. Functions write.
drop policy if exists business_invitations_select on public.business_invitations;
create policy business_invitations_select on public.business_invitations for select to authenticated
    using (user_id = (select auth.uid()) or email = (select provisioning.confirmed_email())
           or business_id = any ((select provisioning.my_businesses('admin'))::uuid[]) or (select provisioning.is_admin()));

drop policy if exists business_invitations_delete on public.business_invitations;
create policy business_invitations_delete on public.business_invitations for delete to authenticated
    using (user_id = (select auth.uid()) or email = (select provisioning.confirmed_email())
           or business_id = any ((select provisioning.my_businesses('admin'))::uuid[]) or (select provisioning.is_admin()));

-- meta_apps: owners and admins of their business. Those of the platform belong to no business: all owners and admins read
-- them, to give numbers to.
drop policy if exists meta_apps_select on public.meta_apps;
create policy meta_apps_select on public.meta_apps for select to authenticated
    using (business_id = any ((select provisioning.my_businesses('admin'))::uuid[])
           or business_id is null and (select provisioning.my_businesses('admin')) <> '{}'
           or (select provisioning.is_admin()));

drop policy if exists meta_apps_insert on public.meta_apps;
create policy meta_apps_insert on public.meta_apps for insert to authenticated
    with check (business_id = any ((select provisioning.my_businesses('admin'))::uuid[]) or (select provisioning.is_admin()));

drop policy if exists meta_apps_update on public.meta_apps;
create policy meta_apps_update on public.meta_apps for update to authenticated
    using (business_id = any ((select provisioning.my_businesses('admin'))::uuid[]) or (select provisioning.is_admin()))
    with check (business_id = any ((select provisioning.my_businesses('admin'))::uuid[]) or (select provisioning.is_admin()));

drop policy if exists meta_apps_delete on public.meta_apps;
create policy meta_apps_delete on public.meta_apps for delete to authenticated
    using (business_id = any ((select provisioning.my_businesses('admin'))::uuid[]) or (select provisioning.is_admin()));

-- whatsapp_numbers: members read; owners and admins of the business do the rest.
drop policy if exists whatsapp_numbers_select on public.whatsapp_numbers;
create policy whatsapp_numbers_select on public.whatsapp_numbers for select to authenticated
    using (business_id = any ((select provisioning.my_businesses('staff'))::uuid[]) or (select provisioning.is_admin()));

drop policy if exists whatsapp_numbers_insert on public.whatsapp_numbers;
create policy whatsapp_numbers_insert on public.whatsapp_numbers for insert to authenticated
    with check (business_id = any ((select provisioning.my_businesses('admin'))::uuid[]) or (select provisioning.is_admin()));

drop policy if exists whatsapp_numbers_update on public.whatsapp_numbers;
create policy whatsapp_numbers_update on public.whatsapp_numbers for update to authenticated
    using (business_id = any ((select provisioning.my_businesses('admin'))::uuid[]) or (select provisioning.is_admin()))
    with check (business_id = any ((select provisioning.my_businesses('admin'))::uuid[]) or (select provisioning.is_admin()));

drop policy if exists whatsapp_numbers_delete on public.whatsapp_numbers;
create policy whatsapp_numbers_delete on public.whatsapp_numbers for delete to authenticated
    using (business_id = any ((select provisioning.my_businesses('admin'))::uuid[]) or (select provisioning.is_admin()));

-- agent_states: whoever may call agent_status. Functions write.
drop policy if exists agent_states_select on public.agent_states;
create policy agent_states_select on public.agent_states for select to authenticated
    using (agent_id = any ((select provisioning.my_agents())::bigint[]) or (select provisioning.is_admin()));
