-- What `migrate` has applied here. Run before every migration, so each statement may run again.
create schema if not exists provisioning;

create table if not exists provisioning.migrations (
    version     integer primary key,
    description text not null,
    checksum    text not null,      -- sha256 of the file, in hex
    applied_at  timestamptz not null default now(),
    applied_by  text not null default current_user
);

alter table provisioning.migrations enable row level security;
revoke all on schema provisioning from public, anon, authenticated, service_role;
revoke all on provisioning.migrations from public, anon, authenticated, service_role;
