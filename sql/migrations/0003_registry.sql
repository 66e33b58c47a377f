-- The registry of what is built.

create table provisioning.agents (
    agent_id         bigint primary key,
    agent_prefix     text not null unique,
    user_id          uuid,
    template_version integer not null,
    reference        text not null check (reference in ('foreign_key', 'check')),
    provisioned_at   timestamptz not null default now(),
    -- What a deletion has taken off the agent's tables so far: foreign keys, as in provisioning.trash.restore_actions. They are
    -- off although the agent may live on, if the deletion is cancelled after that.
    removed_keys     jsonb not null default '[]'
);

-- The relations that belong to an agent, and so the only ones ever altered or dropped.
-- `relation` follows a move to another schema and is dumped and restored by name; `table_name`
-- guards against an oid that came to mean something else.
create table provisioning.agent_tables (
    relation   regclass primary key,
    agent_id   bigint not null references provisioning.agents (agent_id) on delete cascade,
    table_name text not null
);
create index agent_tables_agent_id_idx on provisioning.agent_tables (agent_id);

-- As agent_tables, for the enum types that templates make.
create table provisioning.agent_types (
    type      regtype primary key,
    agent_id  bigint not null references provisioning.agents (agent_id) on delete cascade,
    type_name text not null
);
create index agent_types_agent_id_idx on provisioning.agent_types (agent_id);

-- Agents that were found to be as their templates make them, and by what the catalog is known again as it was then.
-- Each role has rows of its own, and goes by no other's: what the worker's role writes here tells an operator nothing.
create table provisioning.verified_agents (
    agent_id    bigint not null references provisioning.agents (agent_id) on delete cascade,
    verified_by text not null default current_user,
    fingerprint text not null,          -- of the agent's rows in the catalog, and of all that they are read with
    seed        bigint not null,        -- of its hashes: nobody else can make other rows with the same fingerprint
    verified_at timestamptz not null default now(),
    primary key (agent_id, verified_by)
);

-- Agents that differed when they were last compared, whoever compared them.
create table provisioning.drifted_agents (
    agent_id      bigint primary key references provisioning.agents (agent_id) on delete cascade,
    differences   integer not null,
    drifted_since timestamptz not null default now(),
    compared_at   timestamptz not null default now(),   -- when that was found last
    -- Some of them, without what others take with them: an array of {change, kind, object}.
    found         jsonb not null default '[]'
);

-- When an instance last began to compare all agents in the background. At most one row.
create table provisioning.verify_turn (
    id       boolean primary key default true check (id),
    taken_at timestamptz not null
);
