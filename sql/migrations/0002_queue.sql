-- The job queue, and what is left of agents that are being deleted.

create table provisioning.jobs (
    id            bigint generated always as identity primary key,
    kind          text not null check (kind in ('provision', 'deprovision', 'upgrade', 'repair', 'convert')),
    agent_id      bigint not null,      -- no foreign key: a deprovision outlives its agent
    agent_prefix  text not null,
    user_id       uuid,
    state         text not null default 'pending'
                  -- dead: it failed, and a person has to act. paused: a person has to approve it.
                  check (state in ('pending', 'succeeded', 'dead', 'paused', 'cancelled')),
    priority      smallint not null default 0,    -- lower goes first
    attempts      integer not null default 0,     -- failed attempts so far
    run_at        timestamptz not null default now(),
    scheduled_at  timestamptz not null default now(),   -- when run_at was set
    due_at        timestamptz not null default now(),   -- since when it could have run: asked for, or replayed
    outcome       text,                 -- what a finished job came to: provisioned, superseded, ...
    last_error    text,                 -- the whole text, and below it in parts
    last_sqlstate text,
    last_error_code      text,          -- one of ours, such as relation_in_the_way
    last_error_file      text,          -- the template file of the statement that failed
    last_error_line      integer,
    last_error_statement text,          -- its first line
    last_error_detail    text,
    last_error_hint      text,
    last_error_relations text[],        -- what the error is about, qualified and quoted
    created_at    timestamptz not null default now(),
    finished_at   timestamptz,
    duration      interval,             -- of the last attempt
    replayed_by   text,
    replayed_at   timestamptz,
    replay_reason text,
    -- Nobody asked for it and no trigger reported it: reconcile or a provision found what was missing or left over.
    unreported    boolean not null default false,
    requested_by  text,                 -- the role, and the person behind it where one is known
    -- What is wanted of a job, where its kind alone does not say it.
    force            boolean not null default false,    -- repair: also what differs
    template_version integer,           -- upgrade: up to this one; null: up to the worker's newest
    reference        text,              -- convert: to this
    -- A deletion has passed the limits and has taken foreign keys off: its first part is done.
    keys_removed     boolean not null default false,
    -- Set by an operator's approval, and by no API function: asking for a deletion again does not confirm it.
    deletion_confirmed boolean not null default false,
    -- How often an attempt gave way to a lock of somebody's.
    give_ways     integer not null default 0,
    -- What the last attempt gave way for: a mode, or 'own tables'. Null: it did not give way.
    lock_wanted   text check (lock_wanted in ('share row exclusive', 'access exclusive', 'own tables')),
    constraint jobs_finished_check check ((state = 'pending') = (finished_at is null)),
    constraint jobs_paused_check check (state <> 'paused' or kind = 'deprovision'),
    constraint jobs_force_check check (not force or kind = 'repair'),
    constraint jobs_template_version_check check (
        template_version is null or kind = 'upgrade' and template_version > 0),
    constraint jobs_reference_check check (
        case kind when 'convert' then coalesce(reference in ('foreign_key', 'check'), false)
                  else reference is null end),
    constraint jobs_keys_removed_check check (not keys_removed or kind = 'deprovision'),
    constraint jobs_requested_by_check check (char_length(requested_by) <= 200),
    constraint jobs_error_code_check check (last_error_code ~ '^[a-z][a-z_]{0,39}$')
);

-- What the claim walks along.
create index jobs_due_idx on provisioning.jobs (priority, run_at, id) where state = 'pending';
-- Head of line: what stands before a job of the same prefix.
create index jobs_head_idx on provisioning.jobs (agent_prefix, id) where state in ('pending', 'dead', 'paused');
-- One open job per agent and kind: a second request joins the first, and does not approve a paused one.
create unique index jobs_open_key on provisioning.jobs (agent_id, kind) where state in ('pending', 'paused');
create index jobs_agent_idx on provisioning.jobs (agent_id, id);
-- Counts the unconfirmed deletions of the last hour, and those that wait or are done in part.
create index jobs_deleted_idx on provisioning.jobs (finished_at)
    where kind = 'deprovision' and state in ('pending', 'dead', 'paused', 'succeeded') and not deletion_confirmed;
-- What was done lately.
create index jobs_finished_idx on provisioning.jobs (finished_at) where state in ('succeeded', 'cancelled');
create index jobs_lock_idx on provisioning.jobs (lock_wanted, run_at)
    where state = 'pending' and lock_wanted is not null;

-- The queue's live part is small and churns: vacuum by count, not by share of the history.
alter table provisioning.jobs set (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 200
);

-- How each attempt at a job ended: the last error of a job is overwritten by the next. An attempt whose worker was killed
-- leaves no row, as its transaction has left nothing.
create table provisioning.attempts (
    job        bigint not null references provisioning.jobs on delete cascade,
    number     integer not null,        -- from 1
    -- failed: it counts as a failure. gave_way: it does not, and the job is tried again. paused: a person has to approve it.
    result     text not null check (result in ('succeeded', 'failed', 'gave_way', 'paused')),
    -- Attempts of one host that gave way one after the other for the same reason are one row.
    times      integer not null default 1,
    started_at timestamptz not null,    -- the first of them
    ended_at   timestamptz not null,    -- the last of them
    duration   interval not null,       -- of the last
    host       text,                    -- the worker's
    pid        integer,                 -- of the worker's process, as its host numbers it
    outcome    text,                    -- as in jobs
    error      text,
    error_code text,
    sqlstate   text,
    primary key (job, number)
);

-- What only the deleted row of an agent knew, until the worker has done the deletion. A row here is also
-- the proof that somebody deleted the agent. The trigger cannot write this to the job: it would wait
-- for the worker, who has the job locked and waits for the row of the agent.
create table provisioning.deleted_agents (
    agent_id     bigint primary key,
    agent_prefix text not null,
    user_id      uuid,                  -- the owner at that moment
    created_by   uuid,
    created_at   timestamptz,
    deleted_at   timestamptz not null default now()
);

-- Locks of ours, as tables that stay empty: anybody may take an advisory lock.
-- A sweep has this one exclusively. An adoption shares it.
create table provisioning.sweep_gate (id boolean primary key);
-- One look at the deletion limits at a time: each sees what the last one let through.
create table provisioning.limit_gate (id boolean primary key);
