-- The parts of a Supabase project that our SQL relies on, for plain PostgreSQL 15 to 18.
-- Development and tests only: never run it on Supabase. Run by a superuser; may run again.
-- It follows the harder case: older projects, where everything new in schema public is granted
-- to anon, authenticated and service_role.

-- Roles belong to the whole cluster, so two databases may get here at once: one waits.
do $$
declare
    wanted record;
begin
    set local client_min_messages = error;      -- memberships that are there already
    lock table pg_catalog.pg_authid in share row exclusive mode;
    for wanted in
        select *
        from (values
            ('postgres', 'login createdb createrole replication bypassrls'),
            ('anon', 'nologin'),
            ('authenticated', 'nologin'),
            ('service_role', 'nologin bypassrls'),
            ('authenticator', 'login noinherit'),
            ('supabase_auth_admin', 'login noinherit createrole')
        ) as r (name, options)
    loop
        if to_regrole(wanted.name) is null then
            execute format('create role %I %s', wanted.name, wanted.options);
        end if;
    end loop;

    grant anon, authenticated, service_role to authenticator;
    if not (select rolsuper from pg_catalog.pg_roles where rolname = 'postgres') then
        grant anon, authenticated, service_role to postgres;
        grant pg_monitor, pg_read_all_data, pg_signal_backend to postgres;
    end if;

    -- The owner of the database acts as pg_database_owner, which owns schema public.
    execute format('alter database %I owner to postgres', current_database());
end $$;

grant usage on schema public to postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema public
    grant all on tables to postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema public
    grant all on sequences to postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema public
    grant all on functions to postgres, anon, authenticated, service_role;

create schema if not exists auth;
alter schema auth owner to supabase_auth_admin;
grant usage on schema auth to postgres, anon, authenticated, service_role;

create table if not exists auth.users (
    id                 uuid primary key default gen_random_uuid(),
    aud                varchar(255) default 'authenticated',
    role               varchar(255) default 'authenticated',
    email              varchar(255),
    phone              text unique,
    encrypted_password varchar(255),
    raw_app_meta_data  jsonb,
    raw_user_meta_data jsonb,
    is_sso_user        boolean not null default false,
    is_anonymous       boolean not null default false,
    email_confirmed_at timestamptz,
    last_sign_in_at    timestamptz,
    created_at         timestamptz default now(),
    updated_at         timestamptz default now(),
    deleted_at         timestamptz
);
-- Single sign-on may bring an address that another account has already.
create unique index if not exists users_email_partial_key on auth.users (email)
    where is_sso_user = false;
alter table auth.users owner to supabase_auth_admin;
alter table auth.users enable row level security;
grant all on auth.users to postgres;

-- Who is asking, as the API gateway puts it into the transaction's settings.
create or replace function auth.jwt() returns jsonb
    language sql stable as $$
    select nullif(current_setting('request.jwt.claims', true), '')::jsonb
$$;

create or replace function auth.uid() returns uuid
    language sql stable as $$
    select (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid
$$;

create or replace function auth.role() returns text
    language sql stable as $$
    select nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'
$$;

alter function auth.jwt() owner to supabase_auth_admin;
alter function auth.uid() owner to supabase_auth_admin;
alter function auth.role() owner to supabase_auth_admin;

do $$
begin
    set local client_min_messages = error;      -- wal_level need not be logical here
    if not exists (select from pg_catalog.pg_publication where pubname = 'supabase_realtime') then
        create publication supabase_realtime;
    end if;
    alter publication supabase_realtime owner to postgres;
end $$;
