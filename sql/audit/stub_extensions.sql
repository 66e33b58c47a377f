-- What migrations call of extensions that a server may lack, without effect. For the shadow of an audit only.
create schema if not exists cron;
create table if not exists cron.job (
    jobid    bigint generated always as identity primary key,
    schedule text not null,
    command  text not null,
    nodename text,
    nodeport integer,
    database text,
    username text,
    active   boolean not null default true,
    jobname  text
);
create or replace function cron.schedule(job_name text, schedule text, command text) returns bigint
    language sql as $$ select 0::bigint $$;
create or replace function cron.schedule(schedule text, command text) returns bigint
    language sql as $$ select 0::bigint $$;
create or replace function cron.unschedule(job_name text) returns boolean language sql as $$ select true $$;
create or replace function cron.unschedule(job_id bigint) returns boolean language sql as $$ select true $$;
grant usage on schema cron to public;
grant all on all tables in schema cron to public;

create schema if not exists net;
create or replace function net.http_get(url text, params jsonb default '{}', headers jsonb default '{}',
    timeout_milliseconds integer default 5000) returns bigint language sql as $$ select 0::bigint $$;
create or replace function net.http_post(url text, body jsonb default '{}', params jsonb default '{}',
    headers jsonb default '{}', timeout_milliseconds integer default 5000) returns bigint
    language sql as $$ select 0::bigint $$;
create or replace function net.http_delete(url text, params jsonb default '{}', headers jsonb default '{}',
    timeout_milliseconds integer default 5000) returns bigint language sql as $$ select 0::bigint $$;
grant usage on schema net to public;
