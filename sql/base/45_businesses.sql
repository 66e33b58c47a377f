-- The functions of businesses, callable through the API as those of 40_api.sql are.
--
-- What row level security can judge runs with the caller's rights: numbers, settings, moving an agent. Members and
-- invitations nobody writes but the definers here. Each first locks the row of its business, so that what it checks holds
-- until it is done.

-- The role that a caller acts in: admins and the backend act as owners of every business. Null: none.
create or replace function provisioning.business_role(business_id uuid) returns text
    language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
    if provisioning.is_admin() or provisioning.is_backend() then
        return 'owner';
    end if;
    return (select m.role from public.user_businesses m
            where m.business_id = business_role.business_id and m.user_id = auth.uid());
end $$;

-- The address of the signed-in user, if it is known to be his. That of public.users may be unconfirmed.
create or replace function provisioning.confirmed_email() returns text
    language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
    return (select lower(u.email collate "C") from auth.users u where u.id = auth.uid() and u.email_confirmed_at is not null);
end $$;

-- Why a caller may not give or take this role of a business; null: he may. An admin of a business gives and takes
-- admin and staff, an owner every role, and others none. One that is not there and one that is not yours look the same.
create or replace function provisioning.role_refusal(business_id uuid, role text, out code text, out message text)
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    own text;
begin
    perform from public.businesses b where b.id = role_refusal.business_id for no key update;
    if found then
        own := provisioning.business_role(role_refusal.business_id);
    end if;
    if own is null or own = 'staff' then
        code := 'not_allowed';
        message := 'only owners and admins of the business may change its members';
    elsif provisioning.role_rank(role_refusal.role) is null then
        code := 'argument_invalid';
        message := 'role must be owner, admin or staff';
    elsif provisioning.role_rank(role_refusal.role) > provisioning.role_rank(own) then
        code := 'role_too_high';
        message := 'nobody may give or take a role above his own';
    end if;
end $$;

create or replace function provisioning.create_business(name text, type text, owner uuid)
    returns table (business jsonb, success boolean, message text, code text)
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    made public.businesses;
    first_owner constant uuid := coalesce(create_business.owner, auth.uid());
begin
    success := false;
    if not (provisioning.is_admin() or provisioning.is_backend()) then
        code := 'not_admin';
        message := 'only an admin may create a business';
    elsif first_owner is null then
        code := 'argument_missing';
        message := 'owner is required';
    elsif not exists (select from public.users u where u.id = first_owner) then
        code := 'no_such_user';
        message := format('there is no user %s', first_owner);
    end if;
    if message is null then
        insert into public.businesses (name, type) values (btrim(create_business.name), btrim(create_business.type))
        returning * into made;
        insert into public.user_businesses (user_id, business_id, role) values (first_owner, made.id, 'owner');
        business := to_jsonb(made);
        success := true;
        code := 'ok';
        message := 'The business is created.';
    end if;
    return next;
exception
    when check_violation or not_null_violation then
        success := false;
        code := 'argument_invalid';
        message := 'name must have 1 to 200 characters, and type 1 to 50 if it is given';
        return next;
    when others then
        success := false;
        select e.code, e.message into code, message from provisioning.user_error('create_business', sqlstate, sqlerrm) e;
        return next;
end $$;

create or replace function public.create_business(name text, type text default null, owner uuid default null)
    returns table (business jsonb, success boolean, message text, code text)
    language sql set search_path = pg_catalog, pg_temp
begin atomic
    select r.business, r.success, r.message, r.code from provisioning.create_business(name, type, owner) r;
end;

-- A second invitation replaces the first.
create or replace function provisioning.invite_member(business_id uuid, role text, user_id uuid, email text)
    returns table (invitation jsonb, success boolean, message text, code text)
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    address constant text := nullif(lower(btrim(invite_member.email) collate "C"), '');
    made public.business_invitations;
begin
    success := false;
    select r.code, r.message into code, message
    from provisioning.role_refusal(invite_member.business_id, invite_member.role) r;
    if message is not null then
        null;
    elsif num_nonnulls(invite_member.user_id, address) <> 1 then
        code := 'argument_missing';
        message := 'either user_id or email is required';
    elsif exists (select from public.user_businesses m
                  where m.business_id = invite_member.business_id and m.user_id = invite_member.user_id) then
        code := 'already_member';
        message := 'that user is a member already';
    else
        delete from public.business_invitations i
        where i.business_id = invite_member.business_id
          and (i.user_id = invite_member.user_id or i.email = address);
        insert into public.business_invitations (business_id, role, user_id, email, invited_by)
        values (invite_member.business_id, invite_member.role, invite_member.user_id, address, auth.uid())
        returning * into made;
        invitation := to_jsonb(made);
        success := true;
        code := 'ok';
        message := 'The invitation waits to be accepted.';
    end if;
    return next;
exception
    when foreign_key_violation then
        success := false;
        code := 'no_such_user';
        message := format('there is no user %s', invite_member.user_id);
        return next;
    when check_violation then
        success := false;
        code := 'argument_invalid';
        message := 'email must be an address of 3 to 255 characters';
        return next;
    when others then
        success := false;
        select e.code, e.message into code, message from provisioning.user_error('invite_member', sqlstate, sqlerrm) e;
        return next;
end $$;

create or replace function public.invite_member(
    business_id uuid, role text, user_id uuid default null, email text default null
) returns table (invitation jsonb, success boolean, message text, code text)
    language sql set search_path = pg_catalog, pg_temp
begin atomic
    select r.invitation, r.success, r.message, r.code
    from provisioning.invite_member(business_id, role, user_id, email) r;
end;

-- Of an invitation that is another's, and of one that is not there, the same is said.
create or replace function provisioning.accept_invitation(invitation_id uuid)
    returns table (member jsonb, success boolean, message text, code text)
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    signed_in constant uuid := auth.uid();
    found_invitation public.business_invitations;
    made public.user_businesses;
begin
    success := false;
    -- The business first, as everybody does who changes its members.
    perform from public.businesses b
    where b.id = (select i.business_id from public.business_invitations i where i.id = accept_invitation.invitation_id)
    for no key update;
    delete from public.business_invitations i
    where i.id = accept_invitation.invitation_id and i.expires_at > now()
      and (i.user_id = signed_in or i.email = provisioning.confirmed_email())
    returning * into found_invitation;
    if not found then
        code := 'no_such_invitation';
        message := 'there is no such invitation for you, or it has expired';
    else
        insert into public.user_businesses (user_id, business_id, role)
        values (signed_in, found_invitation.business_id, found_invitation.role)
        on conflict (user_id, business_id) do nothing
        returning * into made;
        if made.user_id is null then
            code := 'already_member';
            message := 'you are a member already';
        else
            member := to_jsonb(made);
            success := true;
            code := 'ok';
            message := 'You are a member of the business now.';
        end if;
    end if;
    return next;
exception when others then
    member := null;
    success := false;
    select e.code, e.message into code, message from provisioning.user_error('accept_invitation', sqlstate, sqlerrm) e;
    return next;
end $$;

create or replace function public.accept_invitation(invitation_id uuid)
    returns table (member jsonb, success boolean, message text, code text)
    language sql set search_path = pg_catalog, pg_temp
begin atomic
    select r.member, r.success, r.message, r.code from provisioning.accept_invitation(invitation_id) r;
end;

-- The backend and admins may make a user a member by it who was not invited: an owner where the last one has gone.
create or replace function provisioning.change_member_role(business_id uuid, user_id uuid, role text)
    returns table (member jsonb, success boolean, message text, code text)
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    former text;
    made   public.user_businesses;
begin
    success := false;
    select r.code, r.message into code, message
    from provisioning.role_refusal(change_member_role.business_id, change_member_role.role) r;
    if message is null then
        select m.role into former from public.user_businesses m
        where m.business_id = change_member_role.business_id and m.user_id = change_member_role.user_id;
        if former is not null then
            select r.code, r.message into code, message
            from provisioning.role_refusal(change_member_role.business_id, former) r;
        elsif not (provisioning.is_admin() or provisioning.is_backend()) then
            code := 'not_member';
            message := 'that user is no member of the business';
        end if;
    end if;
    if message is null then
        insert into public.user_businesses (user_id, business_id, role)
        values (change_member_role.user_id, change_member_role.business_id, change_member_role.role)
        on conflict (user_id, business_id) do update set role = excluded.role
        returning * into made;
        member := to_jsonb(made);
        success := true;
        code := 'ok';
        message := 'The member''s role is changed.';
    end if;
    return next;
exception
    when restrict_violation then
        member := null;
        success := false;
        code := 'last_owner';
        message := 'the last owner of a business cannot be removed';
        return next;
    when foreign_key_violation or not_null_violation then
        success := false;
        code := 'no_such_user';
        message := format('there is no user %s', change_member_role.user_id);
        return next;
    when others then
        member := null;
        success := false;
        select e.code, e.message into code, message from provisioning.user_error('change_member_role', sqlstate, sqlerrm) e;
        return next;
end $$;

create or replace function public.change_member_role(business_id uuid, user_id uuid, role text)
    returns table (member jsonb, success boolean, message text, code text)
    language sql set search_path = pg_catalog, pg_temp
begin atomic
    select r.member, r.success, r.message, r.code from provisioning.change_member_role(business_id, user_id, role) r;
end;

-- Who leaves removes himself.
create or replace function provisioning.remove_member(business_id uuid, user_id uuid)
    returns table (success boolean, message text, code text)
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    former text;
begin
    success := false;
    perform from public.businesses b where b.id = remove_member.business_id for no key update;
    select m.role into former from public.user_businesses m
    where m.business_id = remove_member.business_id and m.user_id = remove_member.user_id;
    if auth.uid() is distinct from remove_member.user_id or former is null then
        select r.code, r.message into code, message
        from provisioning.role_refusal(remove_member.business_id, coalesce(former, 'staff')) r;
    end if;
    if message is null and former is null then
        code := 'not_member';
        message := 'that user is no member of the business';
    elsif message is null then
        delete from public.user_businesses m
        where m.business_id = remove_member.business_id and m.user_id = remove_member.user_id;
        success := true;
        code := 'ok';
        message := 'The user is no member of the business any more.';
    end if;
    return next;
exception
    when restrict_violation then
        success := false;
        code := 'last_owner';
        message := 'the last owner of a business cannot be removed';
        return next;
    when others then
        success := false;
        select e.code, e.message into code, message from provisioning.user_error('remove_member', sqlstate, sqlerrm) e;
        return next;
end $$;

create or replace function public.remove_member(business_id uuid, user_id uuid)
    returns table (success boolean, message text, code text)
    language sql set search_path = pg_catalog, pg_temp
begin atomic
    select r.success, r.message, r.code from provisioning.remove_member(business_id, user_id) r;
end;

-- A number may be given as people write it.
create or replace function public.add_whatsapp_number(
    business_id uuid,
    meta_app_id uuid,
    phone_number_id text,
    business_account_id text,
    display_number text,
    agent_id bigint default null
) returns table (number jsonb, success boolean, message text, code text)
    language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    success := false;
    insert into public.whatsapp_numbers as n (
        business_id, meta_app_id, phone_number_id, business_account_id, display_number, agent_id)
    values (
        add_whatsapp_number.business_id, add_whatsapp_number.meta_app_id, btrim(add_whatsapp_number.phone_number_id),
        btrim(add_whatsapp_number.business_account_id),
        regexp_replace(add_whatsapp_number.display_number, '[+() ./-]', '', 'g'), add_whatsapp_number.agent_id)
    returning to_jsonb(n) into number;
    success := true;
    code := 'ok';
    message := 'The number is added.';
    return next;
exception
    when unique_violation then
        code := 'number_taken';
        message := 'that phone_number_id is taken';
        return next;
    when insufficient_privilege then
        code := 'not_allowed';
        message := 'only owners and admins of the business may add a number to an app of theirs, and only an admin one '
            'to the platform''s app';
        return next;
    when foreign_key_violation then
        code := 'not_of_business';
        message := 'the business, the app or the agent is not there, or belongs to another business';
        return next;
    when check_violation or not_null_violation then
        code := 'argument_invalid';
        message := 'the ids are 5 to 32 digits, display_number is 6 to 15 digits with the country''s code first';
        return next;
    when lock_not_available or deadlock_detected or serialization_failure then
        code := 'busy';
        message := 'The database is busy with the same rows; nothing was changed. Please try again.';
        return next;
    when others then
        code := 'unexpected';
        message := format('Nothing was changed: unexpected error %s.', sqlstate);
        raise log 'agent-provisioner: add_whatsapp_number failed: % (SQLSTATE %)', sqlerrm, sqlstate;
        return next;
end $$;

-- Keys that are left out stay; one that is null goes.
create or replace function public.update_business_settings(business_id uuid, settings jsonb)
    returns table (business jsonb, success boolean, message text, code text)
    language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    violated text;
begin
    success := false;
    if jsonb_typeof(update_business_settings.settings) is distinct from 'object' then
        code := 'argument_invalid';
        message := 'settings must be a JSON object';
        return next;
        return;
    end if;
    update public.businesses b
    set settings = (
        select coalesce(jsonb_object_agg(e.key, e.value), '{}')
        from jsonb_each(b.settings || update_business_settings.settings) e where e.value <> 'null')
    where b.id = update_business_settings.business_id
    returning to_jsonb(b) into business;
    success := business is not null;
    code := case when success then 'ok' else 'not_allowed' end;
    message := case when success then 'The settings are saved.'
                    else 'only owners and admins of the business may change its settings' end;
    return next;
exception
    when check_violation then
        get stacked diagnostics violated = constraint_name;
        code := case violated
            when 'businesses_settings_size_check' then 'settings_too_large'
            when 'businesses_settings_secret_check' then 'settings_secret'
            else 'settings_invalid' end;
        message := case violated
            when 'businesses_settings_size_check' then 'the settings have more than 64 kB'
            when 'businesses_settings_secret_check' then 'the settings hold what looks like a secret: every member reads them'
            when 'businesses_settings_keys_check'
                then 'the settings may have services, prices, hours, staff and personality, and nothing else'
            else 'services and staff must be arrays; prices, hours and personality must be objects' end;
        return next;
    when lock_not_available or deadlock_detected or serialization_failure then
        code := 'busy';
        message := 'The database is busy with the same rows; nothing was changed. Please try again.';
        return next;
    when others then
        code := 'unexpected';
        message := format('Nothing was changed: unexpected error %s.', sqlstate);
        raise log 'agent-provisioner: update_business_settings failed: % (SQLSTATE %)', sqlerrm, sqlstate;
        return next;
end $$;

-- Its numbers move along, by their key. The rules on agents say who may.
create or replace function public.move_agent(agent_id bigint, business_id uuid)
    returns table (agent jsonb, success boolean, message text, code text)
    language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    violated text;
begin
    update public.agents a set business_id = move_agent.business_id where a.id = move_agent.agent_id
    returning to_jsonb(a) into agent;
    success := agent is not null;
    code := case when success then 'ok' else 'not_allowed' end;
    message := case when success then 'The agent and its numbers belong to the business now.'
                    else 'there is no such agent, or it is not yours to move' end;
    return next;
exception
    when insufficient_privilege then
        success := false;
        code := 'not_allowed';
        message := 'only an owner of both businesses may move an agent';
        return next;
    when foreign_key_violation then
        success := false;
        get stacked diagnostics violated = constraint_name;
        code := case violated when 'agents_business_id_fkey' then 'no_such_business'
            when 'secrets_whatsapp_number_id_fkey' then 'number_has_token'
            else 'number_has_app' end;
        message := case violated when 'agents_business_id_fkey' then 'there is no such business'
            when 'secrets_whatsapp_number_id_fkey'
                then 'a number of the agent has a token, which is encrypted for its business: remove the token first'
            else 'a number of the agent belongs to an app of its business, which does not move' end;
        return next;
    when not_null_violation then
        success := false;
        code := 'argument_missing';
        message := 'business_id is required';
        return next;
    when lock_not_available or deadlock_detected or serialization_failure then
        success := false;
        code := 'busy';
        message := 'The database is busy with the same rows; nothing was changed. Please try again.';
        return next;
    when others then
        success := false;
        code := 'unexpected';
        message := format('Nothing was changed: unexpected error %s.', sqlstate);
        raise log 'agent-provisioner: move_agent failed: % (SQLSTATE %)', sqlerrm, sqlstate;
        return next;
end $$;

-- Where a message belongs that came for a number; no row: nobody has it. The app is that of the number: a message that
-- another app's secret signs is not for it. For the backend only.
create or replace function provisioning.route_message(phone_number_id text)
    returns table (
        business_id uuid, whatsapp_number_id uuid, agent_id bigint, agent_prefix text, app_id text, is_active boolean)
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    known   constant integer := 1000;
    number  constant text := left(coalesce(route_message.phone_number_id, ''), 64);
    dropped bigint;
begin
    return query
    select n.business_id, n.id, n.agent_id, a.agent_prefix::text, m.app_id, n.is_active
    from public.whatsapp_numbers n
    join public.meta_apps m on m.id = n.meta_app_id
    left join public.agents a on a.id = n.agent_id
    where n.phone_number_id = route_message.phone_number_id;
    if found then
        return;
    end if;
    update provisioning.unknown_numbers u set messages = u.messages + 1, last_seen_at = now()
    where u.phone_number_id = number;
    if found then
        return;
    end if;
    insert into provisioning.unknown_numbers as u (phone_number_id, messages) values (number, 1)
    on conflict (phone_number_id) do update set messages = u.messages + 1, last_seen_at = now();
    with others as (
        delete from provisioning.unknown_numbers u      -- what several put there at once, the next one removes
        where u.phone_number_id in (
            select o.phone_number_id from provisioning.unknown_numbers o where o.phone_number_id <> '*'
            order by o.last_seen_at desc, o.phone_number_id <> number offset known)
        returning u.messages
    )
    select sum(o.messages) into dropped from others o;
    if dropped is not null then
        insert into provisioning.unknown_numbers as u (phone_number_id, messages) values ('*', dropped)
        on conflict (phone_number_id) do update set messages = u.messages + excluded.messages, last_seen_at = now();
    end if;
end $$;

create or replace function public.route_message(phone_number_id text)
    returns table (
        business_id uuid, whatsapp_number_id uuid, agent_id bigint, agent_prefix text, app_id text, is_active boolean)
    language sql set search_path = pg_catalog, pg_temp
begin atomic
    select r.business_id, r.whatsapp_number_id, r.agent_id, r.agent_prefix, r.app_id, r.is_active
    from provisioning.route_message(phone_number_id) r;
end;

-- For the console, which reads no table of schema public: businesses by name, from after one of them on.
-- part: of the name; null is any
create or replace function provisioning.list_businesses(part text, after uuid, most bigint)
    returns table (
        id uuid, name text, type text, created_at timestamp with time zone, members bigint, agents bigint, numbers bigint)
    language sql stable security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
    select b.id, b.name, b.type, b.created_at,
        (select count(*) from public.user_businesses m where m.business_id = b.id),
        (select count(*) from public.agents a where a.business_id = b.id),
        (select count(*) from public.whatsapp_numbers n where n.business_id = b.id)
    from public.businesses b
    where (part is null or position(lower(part collate "C") in lower(b.name collate "C")) > 0)
      and (after is null or (b.name, b.id) > (select o.name, o.id from public.businesses o where o.id = after))
    order by b.name, b.id
    limit most
$$;

-- The members of a business, by their ids, for the console.
create or replace function provisioning.list_members(business uuid, most bigint)
    returns table (user_id uuid, role text, created_at timestamp with time zone)
    language sql stable security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
    select m.user_id, m.role, m.created_at
    from public.user_businesses m
    where m.business_id = business
    order by provisioning.role_rank(m.role) desc, m.created_at, m.user_id
    limit most
$$;

-- The numbers of a business, for the console: of a token only whether there is one.
create or replace function provisioning.list_numbers(business uuid, most bigint)
    returns table (
        phone_number_id text, display_number text, is_active boolean, app_id text, agent_prefix text, has_token boolean)
    language sql stable security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
    select n.phone_number_id, n.display_number, n.is_active, m.app_id, a.agent_prefix::text,
        exists (select from provisioning.secrets s where s.whatsapp_number_id = n.id and s.kind = 'access_token')
    from public.whatsapp_numbers n
    join public.meta_apps m on m.id = n.meta_app_id
    left join public.agents a on a.id = n.agent_id
    where n.business_id = business
    order by n.phone_number_id
    limit most
$$;
