-- What agents were built from, so that a file that was changed afterwards is noticed.
create table provisioning.templates (
    version     integer primary key,        -- 0 is foreign_key.sql
    name        text not null,
    checksum    text not null,
    recorded_at timestamptz not null default now()
);
