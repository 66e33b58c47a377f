-- Rollouts: upgrades of many agents, little by little, which the service goes on with.

create table provisioning.rollouts (
    id               bigint generated always as identity primary key,
    -- failed: too many of its jobs have. What is queued ends all the same.
    state            text not null default 'running'
                     check (state in ('running', 'paused', 'done', 'failed', 'aborted')),
    template_version integer not null check (template_version > 0),     -- its agents come to this one
    templates        text not null,         -- that version and the checksum of its files, as in instances.settings
    canaries         integer not null check (canaries >= 0),    -- so many agents first; one that fails stops everything
    max_failures     integer check (max_failures > 0),          -- so many failures stop everything; null: none do
    at_a_time        integer check (at_a_time > 0),             -- jobs in the queue; null: all at once
    requested_by     text not null,         -- the role, and the person behind it where one is known
    reason           text,
    started_at       timestamptz not null default now(),
    changed_by       text,                  -- who paused, resumed or aborted it last
    changed_at       timestamptz,
    change_reason    text,
    stopped_after    integer,               -- the number of failures that stopped it
    ended_at         timestamptz,           -- none of its jobs is in the queue, and none follows
    constraint rollouts_ended_check check (state not in ('running', 'paused') or ended_at is null),
    constraint rollouts_stopped_check check ((state = 'failed') = (stopped_after is not null)),
    constraint rollouts_requested_by_check check (char_length(requested_by) <= 200)
);
-- One at a time: two would queue behind each other's back.
create unique index rollouts_open_key on provisioning.rollouts ((true)) where ended_at is null;

-- The agents of a rollout, in its order.
create table provisioning.rollout_agents (
    rollout      bigint not null references provisioning.rollouts on delete cascade,
    place        integer not null,          -- from 1
    agent_id     bigint not null,           -- no foreign key: the agent may be gone by now
    agent_prefix text not null,
    job          bigint,                    -- its upgrade, which may be pruned by now; null: not queued, or taken back by a pause
    -- How that ended. blocked: it waits for a dead job of its prefix. gone: the agent is. Null: it has not ended.
    result       text check (result in ('succeeded', 'dead', 'blocked', 'cancelled', 'gone')),
    primary key (rollout, place)
);
create index rollout_agents_open_idx on provisioning.rollout_agents (rollout, place) where result is null;

-- A repair of exactly what was shown.
alter table provisioning.jobs
    add column plan text check (plan ~ '^[0-9a-f]{64}$'),       -- the checksum of the statements that were confirmed
    add column plan_begun boolean not null default false,       -- they have run; what the repair finds after them is its own
    add constraint jobs_plan_kind_check check (plan is null or kind = 'repair');

-- A restore of a deleted agent.
alter table provisioning.jobs
    drop constraint jobs_kind_check,
    add constraint jobs_kind_check check (kind in ('provision', 'deprovision', 'upgrade', 'repair', 'convert', 'restore')),
    add column trash_item bigint,       -- no foreign key: it leaves the trash when it is restored
    add constraint jobs_trash_item_check check ((kind = 'restore') = (trash_item is not null));

-- What people look for in the past. A job enters these when it has ended, or failed, and not when it is queued.
create index jobs_finished_prefix_idx on provisioning.jobs (agent_prefix text_pattern_ops, id)
    where state in ('succeeded', 'cancelled');
create index jobs_finished_kind_idx on provisioning.jobs (kind, id) where state in ('succeeded', 'cancelled');
create index jobs_cancelled_idx on provisioning.jobs (id) where state = 'cancelled';
create index jobs_error_idx on provisioning.jobs (id) where last_error is not null;

-- Findings of doctor that a person has accepted.
create table provisioning.accepted_findings (
    key         text primary key check (char_length(key) between 1 and 300),
    severity    text not null check (severity in ('warning', 'failure')),   -- it is not accepted once it is worse
    reason      text not null check (btrim(reason) <> ''),
    accepted_by text not null check (char_length(accepted_by) <= 200),      -- the role, and the person behind it where one is known
    accepted_at timestamptz not null default now(),
    until       date                    -- through this day, in UTC; null: for good
);

-- What persons have done, and why. Functions write it together with what they do, and nothing takes it away.
create table provisioning.actions (
    id        bigint generated always as identity primary key,
    done_at   timestamptz not null default clock_timestamp(),
    done_by   text not null check (char_length(done_by) <= 200),        -- the role, and the person behind it where one is known
    action    text not null check (action ~ '^[a-z]{1,40}$'),
    reason    text,
    jobs      bigint[] not null default '{}',       -- what was done to these, at most a hundred; they may be pruned by now
    job_count bigint not null default 0,
    rollout   bigint,
    finding   text                                  -- its key
);
