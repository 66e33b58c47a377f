-- What a Supabase project has beside sql/supabase_shim.sql and migrations rely on: the columns and tables of auth, storage
-- and Realtime, as far as foreign keys, policies and seeds name them. For the shadow of an audit only; may run again.
create schema if not exists extensions;
grant usage on schema extensions to public;

create or replace function auth.email() returns text
    language sql stable as $$
    select nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email'
$$;

alter table auth.users
    add column if not exists instance_id uuid,
    add column if not exists invited_at timestamptz,
    add column if not exists confirmed_at timestamptz,
    add column if not exists confirmation_token varchar(255),
    add column if not exists confirmation_sent_at timestamptz,
    add column if not exists recovery_token varchar(255),
    add column if not exists recovery_sent_at timestamptz,
    add column if not exists email_change varchar(255),
    add column if not exists email_change_token_new varchar(255),
    add column if not exists email_change_token_current varchar(255),
    add column if not exists is_super_admin boolean,
    add column if not exists phone_confirmed_at timestamptz,
    add column if not exists banned_until timestamptz;

create table if not exists auth.identities (
    id              uuid primary key default gen_random_uuid(),
    provider_id     text not null,
    user_id         uuid not null references auth.users (id) on delete cascade,
    identity_data   jsonb not null,
    provider        text not null,
    last_sign_in_at timestamptz,
    created_at      timestamptz,
    updated_at      timestamptz,
    email           text generated always as (identity_data ->> 'email') stored,
    unique (provider_id, provider)
);
create table if not exists auth.sessions (
    id         uuid primary key,
    user_id    uuid not null references auth.users (id) on delete cascade,
    created_at timestamptz,
    updated_at timestamptz
);

create schema if not exists storage;
create table if not exists storage.buckets (
    id                 text primary key,
    name               text not null unique,
    owner              uuid,
    owner_id           text,
    public             boolean default false,
    avif_autodetection boolean default false,
    file_size_limit    bigint,
    allowed_mime_types text[],
    created_at         timestamptz default now(),
    updated_at         timestamptz default now()
);
create table if not exists storage.objects (
    id               uuid primary key default gen_random_uuid(),
    bucket_id        text references storage.buckets (id),
    name             text,
    owner            uuid,
    owner_id         text,
    created_at       timestamptz default now(),
    updated_at       timestamptz default now(),
    last_accessed_at timestamptz default now(),
    metadata         jsonb,
    user_metadata    jsonb,
    path_tokens      text[] generated always as (string_to_array(name, '/')) stored,
    version          text
);
alter table storage.buckets enable row level security;
alter table storage.objects enable row level security;
create or replace function storage.foldername(name text) returns text[]
    language sql immutable as $$
    select (string_to_array(name, '/'))[1 : array_length(string_to_array(name, '/'), 1) - 1]
$$;
create or replace function storage.filename(name text) returns text
    language sql immutable as $$
    select (string_to_array(name, '/'))[array_length(string_to_array(name, '/'), 1)]
$$;
create or replace function storage.extension(name text) returns text
    language sql immutable as $$
    select reverse(split_part(reverse(storage.filename(name)), '.', 1))
$$;

create schema if not exists realtime;
create table if not exists realtime.messages (
    id          uuid not null default gen_random_uuid(),
    topic       text not null,
    extension   text not null,
    payload     jsonb,
    event       text,
    private     boolean default false,
    inserted_at timestamp not null default now(),
    updated_at  timestamp not null default now(),
    primary key (id, inserted_at)
);
alter table realtime.messages enable row level security;
create or replace function realtime.topic() returns text
    language sql stable as $$
    select nullif(current_setting('realtime.topic', true), '')::text
$$;
create or replace function realtime.send(payload jsonb, event text, topic text, private boolean default true) returns void
    language sql as $$ select $$;
create or replace function realtime.broadcast_changes(topic_name text, event_name text, operation text, table_name text,
    table_schema text, new record, old record, level text default 'ROW') returns void
    language plpgsql as $$ begin end $$;

create schema if not exists vault;
create table if not exists vault.secrets (
    id          uuid primary key default gen_random_uuid(),
    name        text unique,
    description text not null default '',
    secret      text not null,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now()
);
create or replace view vault.decrypted_secrets as
    select id, name, description, secret, secret as decrypted_secret, created_at, updated_at from vault.secrets;

create or replace function vault.create_secret(new_secret text, new_name text default null,
    new_description text default '', new_key_id uuid default null) returns uuid
    language sql as $$
    insert into vault.secrets (secret, name, description) values (new_secret, new_name, new_description) returning id
$$;
create or replace function vault.update_secret(secret_id uuid, new_secret text default null, new_name text default null,
    new_description text default null, new_key_id uuid default null) returns void
    language sql as $$
    update vault.secrets set secret = coalesce(new_secret, secret), name = coalesce(new_name, name),
        description = coalesce(new_description, description)
    where id = secret_id
$$;

create schema if not exists supabase_functions;
create or replace function supabase_functions.http_request() returns trigger
    language plpgsql as $$ begin return coalesce(new, old); end $$;
