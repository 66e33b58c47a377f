-- Deletions that can be undone.

-- Where the tables of deleted agents wait. Nobody but the worker's role has any right here.
create schema provisioning_trash;

-- What it takes to bring an agent back. The same agent may be here more than once.
create table provisioning.trash (
    id               bigint generated always as identity primary key,
    agent_id         bigint not null,
    agent_prefix     text not null,
    -- Whether the owner at the moment of the deletion is known. If not, the next three are null.
    owner_known      boolean not null default false,
    user_id          uuid,
    created_by       uuid,
    created_at       timestamptz,
    built_for        uuid,              -- the owner on the day when the tables were built; a hint for people
    template_version integer not null,
    reference        text not null check (reference in ('foreign_key', 'check')),
    provisioned_at   timestamptz not null,
    -- Whether the deletion switched the user's WhatsApp configuration off.
    whatsapp         boolean not null default false,
    -- What was taken off the tables, as an array for provisioning.restore_statement. No SQL: an operator's session
    -- gives it back.
    restore_actions  jsonb not null,
    trashed_at       timestamptz not null default now(),
    purge_at         timestamptz not null,
    -- Seconds by which the database's clock was ahead of the service's at that moment. Null: not known.
    clock_offset     double precision
);
create index trash_agent_prefix_idx on provisioning.trash (agent_prefix);
create index trash_purge_at_idx on provisioning.trash (purge_at);

-- What was moved, and under which name it is kept: a prefix may be deleted more than once. Names,
-- because a dump loads these rows before there is an index to refer to.
create table provisioning.trash_relations (
    trash_name      text primary key,
    trash_id        bigint not null references provisioning.trash (id) on delete cascade,
    kind            text not null check (kind in ('table', 'index', 'sequence', 'statistics', 'type')),
    original_schema text not null,
    name            text not null
);
create index trash_relations_trash_id_idx on provisioning.trash_relations (trash_id);

-- The sweep purges nothing while a row here is open: the database's clock has moved against the service's, and
-- purge_at may have come too early. A row stays as a record after an operator has released it.
create table provisioning.purge_holds (
    hold        bigint generated always as identity primary key,
    held_at     timestamptz not null default now(),
    clock_moved interval not null,
    released_at timestamptz,
    released_by text
);
create unique index purge_holds_open_key on provisioning.purge_holds ((true)) where released_at is null;
