-- Who belongs to which business, and what may change in businesses, members, apps and numbers.

-- The businesses in which the user has this role or a higher one. Policies ask once per query, as (select …): an array,
-- so that an index on business_id serves. A definer, so that the policies of user_businesses may ask it, too.
create or replace function provisioning.my_businesses(lowest text) returns uuid[]
    language plpgsql stable parallel safe security definer set search_path = pg_catalog, pg_temp as $$
begin
    return array(
        select m.business_id from public.user_businesses m
        where m.user_id = auth.uid()
          and provisioning.role_rank(m.role) >= provisioning.role_rank(my_businesses.lowest));
end $$;

-- Higher is more.
create or replace function provisioning.role_rank(role text) returns integer
    language sql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
    select array_position(array['staff', 'admin', 'owner'], role)
$$;

-- The business of agents that come in where no trigger fires, as by a loader: the only one that there is. Where there are several,
-- null, and the trigger decides: no agent comes into a business that nobody chose.
create or replace function provisioning.only_business() returns uuid
    language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
    -- However many there are, two say that it is not one.
    return (select case when count(*) = 1 then (array_agg(b.id))[1] end
            from (select b.id from public.businesses b limit 2) b);
end $$;

-- Where an agent belongs that is created without a business: to the only one that its creator owns or administers, else
-- to the only one that there is. Where neither says which, the agent is refused. Where there is none, as after a restore
-- without data, the default business is made.
create or replace function provisioning.business_of_creator(creator uuid) returns uuid
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    default_business constant uuid := '00000000-0000-0000-0000-000000000001';
    own              constant uuid[] := array(
        select m.business_id from public.user_businesses m
        where m.user_id = business_of_creator.creator and m.role in ('owner', 'admin')
        limit 2);
    business         uuid := case when cardinality(own) = 1 then own[1] else provisioning.only_business() end;
begin
    if business is null and not exists (select from public.businesses) then
        insert into public.businesses (id, name) values (default_business, 'Default business') on conflict do nothing;
        business := default_business;
    elsif business is null then
        raise exception 'the agent needs a business_id' using errcode = 'not_null_violation', column = 'business_id',
            hint = 'Which business is meant is plain only where its creator owns or administers exactly one, '
                'or where there is only one.';
    end if;
    return business;
end $$;

-- Who is an admin no more leaves the default business: he came into it as an admin, and all agents may be in it.
create or replace function provisioning.leave_default_business() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    delete from public.user_businesses m
    where m.user_id = new.id and m.business_id = '00000000-0000-0000-0000-000000000001';
    return null;
end $$;

-- After a member was removed or got another role. A business keeps an owner, unless the user himself is gone: nothing
-- may keep somebody from deleting his account. Nor may anything keep an admin in the default business. What he has
-- invited others to is his no more.
create or replace function provisioning.guard_members() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    delete from public.business_invitations i where i.business_id = old.business_id and i.invited_by = old.user_id;
    if old.role <> 'owner' or old.business_id = '00000000-0000-0000-0000-000000000001' then
        return null;
    end if;
    -- Of two who remove the last two owners one waits here. A change, and not a lock alone: under repeatable read
    -- he fails then.
    update public.businesses b set updated_at = now() where b.id = old.business_id;
    if found and exists (select from public.users u where u.id = old.user_id)
       and not exists (select from public.user_businesses m where m.business_id = old.business_id and m.role = 'owner')
    then
        raise exception 'the last owner of a business cannot be removed'
            using errcode = 'restrict_violation', hint = 'Make another member an owner first.';
    end if;
    return null;
end $$;

-- An app never changes its business. A key cannot say what holds of its numbers: the app is their business's, or the
-- platform's.
create or replace function provisioning.guard_app() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception 'the business of an app cannot be changed' using errcode = 'check_violation';
end $$;

-- Whoever gives the platform's app a number says whose messages go to him. So a user gives numbers to an app of the
-- business only, whose secret he has.
create or replace function provisioning.guard_number() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    app_business constant uuid := (select a.business_id from public.meta_apps a where a.id = new.meta_app_id);
begin
    if app_business <> new.business_id then
        raise exception 'the app belongs to another business' using errcode = 'foreign_key_violation';
    elsif app_business is null and auth.uid() is not null and not provisioning.is_admin()
          and (tg_op = 'INSERT' or new.phone_number_id <> old.phone_number_id or new.meta_app_id <> old.meta_app_id) then
        raise exception 'only an admin may give this app a number' using errcode = 'insufficient_privilege';
    end if;
    return new;
end $$;
