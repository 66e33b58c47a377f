-- Secrets of numbers and apps: who learns that one is set, and who gets its ciphertext. docs/tokens.md has the format.
--
-- agent-provisioner writes them, as the owner of schema provisioning. No function here takes or gives a secret itself: the
-- server has no key.

-- What is set in a business, or without one for the apps of the platform. For owners and admins of the business, admins and the
-- backend. Others get no row.
create or replace function provisioning.secret_status(business_id uuid)
    returns table (
        kind text, whatsapp_number_id uuid, meta_app_id uuid, last_four text, set_at timestamp with time zone)
    language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    if provisioning.business_role(secret_status.business_id) in ('owner', 'admin') then
        return query
        select s.kind, s.whatsapp_number_id, s.meta_app_id, s.last_four, s.set_at
        from provisioning.secrets s
        left join public.meta_apps m on m.id = s.meta_app_id
        where coalesce(s.business_id, m.business_id) is not distinct from secret_status.business_id
        order by s.kind, s.whatsapp_number_id, s.meta_app_id;
    end if;
end $$;

create or replace function public.secret_status(business_id uuid default null)
    returns table (
        kind text, whatsapp_number_id uuid, meta_app_id uuid, last_four text, set_at timestamp with time zone)
    language sql stable set search_path = pg_catalog, pg_temp
begin atomic
    select r.kind, r.whatsapp_number_id, r.meta_app_id, r.last_four, r.set_at
    from provisioning.secret_status(business_id) r;
end;

-- For the backend only: the ciphertext, and the ids that it is bound to. As hex: a session's bytea_output may be either.
create or replace function provisioning.get_whatsapp_token(phone_number_id text)
    returns table (whatsapp_number_id uuid, business_id uuid, ciphertext text)
    language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    return query
    select n.id, n.business_id, encode(s.ciphertext, 'hex')
    from public.whatsapp_numbers n
    join provisioning.secrets s on s.whatsapp_number_id = n.id and s.kind = 'access_token'
    where n.phone_number_id = get_whatsapp_token.phone_number_id;
end $$;

create or replace function public.get_whatsapp_token(phone_number_id text)
    returns table (whatsapp_number_id uuid, business_id uuid, ciphertext text)
    language sql stable set search_path = pg_catalog, pg_temp
begin atomic
    select r.whatsapp_number_id, r.business_id, r.ciphertext from provisioning.get_whatsapp_token(phone_number_id) r;
end;

-- The same for an app: a row for each of its secrets. business_id is null where the app is the platform's.
create or replace function provisioning.get_meta_app_secrets(app_id text)
    returns table (kind text, meta_app_id uuid, business_id uuid, ciphertext text)
    language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    return query
    select s.kind, m.id, m.business_id, encode(s.ciphertext, 'hex')
    from public.meta_apps m
    join provisioning.secrets s on s.meta_app_id = m.id
    where m.app_id = get_meta_app_secrets.app_id
    order by s.kind;
end $$;

create or replace function public.get_meta_app_secrets(app_id text)
    returns table (kind text, meta_app_id uuid, business_id uuid, ciphertext text)
    language sql stable set search_path = pg_catalog, pg_temp
begin atomic
    select r.kind, r.meta_app_id, r.business_id, r.ciphertext from provisioning.get_meta_app_secrets(app_id) r;
end;

-- Who has a token may send with it from every number of its account. So a number or an app with a secret stays what it is.
create or replace function provisioning.guard_secret() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if exists (select from provisioning.secrets s where old.id in (s.whatsapp_number_id, s.meta_app_id)) then
        raise exception 'this has a secret, which is not that of another number or app'
            using errcode = 'restrict_violation',
                hint = 'An operator takes it away first: agent-provisioner numbers forget-token, or apps forget-secret.';
    end if;
    return new;
end $$;

-- How many secrets each key encrypts. The worker's role may ask, for `doctor`; it reads no ciphertext.
create or replace function provisioning.secrets_by_key() returns table (key_id text, secrets bigint)
    language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    return query
    select s.key_id, count(*) from provisioning.secrets s group by s.key_id order by s.key_id;
end $$;
