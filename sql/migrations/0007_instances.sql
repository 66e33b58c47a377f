-- The instances that run on this database, and whether they are configured alike.
--
-- Which instance takes a job is chance. Where two of them differ in a setting that decides what a job does, so
-- is what becomes of an agent. So each instance shows its settings to the others.

-- A row that was not refreshed for 30 seconds belongs to an instance that is gone, and is not counted. It is shown for an hour.
create table provisioning.instances (
    id         bigint primary key,          -- drawn at random by the instance when it starts
    host       text not null,
    pid        integer not null,            -- of the process, as its host numbers it
    version    text not null,               -- of the program
    settings   jsonb not null,              -- setting: value, as text
    state      jsonb not null default '{}', -- how it fares: does it hear notifications, what its sweeps came to
    started_at timestamptz not null default now(),
    seen_at    timestamptz not null default now()
);
