-- The job queue, the registry of what is built, and the triggers that fill the queue.
--
-- The triggers only write job rows, in the writer's own transaction: no DDL, no wait for a worker.
-- Everything else (claim, retry, dead letter, reconcile) is the worker's.

create table provisioning.jobs (
    id            bigint generated always as identity primary key,
    kind          text not null check (kind in ('provision', 'deprovision', 'upgrade', 'repair')),
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
    outcome       text,                 -- what a finished job came to: provisioned, superseded, ...
    last_error    text,
    last_sqlstate text,
    created_at    timestamptz not null default now(),
    finished_at   timestamptz,
    duration      interval,             -- of the last attempt
    replayed_by   text,
    replayed_at   timestamptz,
    replay_reason text,
    -- Nobody asked for it and no trigger reported it: reconcile or a provision found what was missing or left over.
    unreported    boolean not null default false,
    constraint jobs_finished_check check ((state = 'pending') = (finished_at is null)),
    constraint jobs_paused_check check (state <> 'paused' or kind = 'deprovision')
);

-- What the claim walks along.
create index jobs_due_idx on provisioning.jobs (priority, run_at, id) where state = 'pending';
-- Head of line: what stands before a job of the same prefix.
create index jobs_head_idx on provisioning.jobs (agent_prefix, id) where state in ('pending', 'dead', 'paused');
-- One open job per agent and kind: a second request joins the first, and does not approve a paused one.
create unique index jobs_open_key on provisioning.jobs (agent_id, kind) where state in ('pending', 'paused');
create index jobs_agent_idx on provisioning.jobs (agent_id, id);

-- The queue's live part is small and churns: vacuum by count, not by share of the history.
alter table provisioning.jobs set (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 200
);

-- Whoever sets run_at: a scheduled_at in the future shows that the server's clock was set back since.
create function provisioning.note_schedule() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if new.scheduled_at = old.scheduled_at then
        new.scheduled_at := clock_timestamp();
    end if;
    return new;
end $$;

revoke all on function provisioning.note_schedule() from public, anon, authenticated, service_role;

create trigger note_schedule before update of run_at on provisioning.jobs
    for each row when (new.run_at <> old.run_at) execute function provisioning.note_schedule();

create table provisioning.agents (
    agent_id         bigint primary key,
    agent_prefix     text not null unique,
    user_id          uuid,
    template_version integer not null,
    reference        text not null check (reference in ('foreign_key', 'check')),
    provisioned_at   timestamptz not null default now()
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

alter table provisioning.sweep_gate enable row level security;
alter table provisioning.limit_gate enable row level security;
create policy no_api_access on provisioning.sweep_gate for all to authenticated using (false);
create policy no_api_access on provisioning.limit_gate for all to authenticated using (false);
revoke all on provisioning.sweep_gate, provisioning.limit_gate from public, anon, authenticated, service_role;

alter table provisioning.deleted_agents enable row level security;
revoke all on provisioning.deleted_agents from public, anon, authenticated, service_role;
alter table provisioning.jobs enable row level security;
alter table provisioning.agents enable row level security;
alter table provisioning.agent_tables enable row level security;
revoke all on provisioning.jobs, provisioning.agents, provisioning.agent_tables
    from public, anon, authenticated, service_role;
revoke all on sequence provisioning.jobs_id_seq from public, anon, authenticated, service_role;

-- Refuses a call from a trigger. A function that goes by the session's role would take the code of a table's owner, which
-- runs when somebody else writes to that table or to one that it refers to, for the session's.
create function provisioning.refuse_in_trigger() returns void
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if pg_trigger_depth() > 0 then
        raise exception 'this cannot be called by a trigger' using errcode = 'insufficient_privilege';
    end if;
end $$;

revoke all on function provisioning.refuse_in_trigger() from public, anon, authenticated, service_role;

-- Sends a notification, unless the server's queue of notifications is nearly full. Returns whether it did.
-- All databases of a server share that queue. A session that listens and stays in a transaction fills it.
-- While it is full, every transaction that notifies fails at its COMMIT (54000). A notification is a hint,
-- and workers poll: it must not cost the transaction.
-- full_at: the share of the queue that counts as nearly full
create function provisioning.notify(
    channel text, payload text default '', full_at double precision default 0.9
) returns boolean
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if pg_notification_queue_usage() >= full_at then
        return false;
    end if;
    perform pg_notify(channel, payload);
    return true;
end $$;

revoke all on function provisioning.notify(text, text, double precision)
    from public, anon, authenticated, service_role;

-- UNIQUE (agent_prefix) makes a re-create wait for the delete's commit, and the job's id is drawn
-- after that wait: per prefix the order of ids is the order of commits.
create function provisioning.enqueue_provision() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into provisioning.jobs (kind, agent_id, agent_prefix, user_id)
    select 'provision', i.id, i.agent_prefix, i.user_id from inserted i order by i.id
    on conflict (agent_id, kind) where state = 'pending' do nothing;
    if found then
        perform provisioning.notify('agent_provisioning');
    end if;
    return null;
end $$;

-- A conflict means that the deletion was asked for already: the worker is deleting this very row, or
-- the job is paused, which a DELETE does not approve.
create function provisioning.enqueue_deprovision() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into provisioning.deleted_agents as known (agent_id, agent_prefix, user_id, created_by, created_at)
    select d.id, d.agent_prefix, d.user_id, d.created_by, d.created_at from deleted d order by d.id
    on conflict (agent_id) do update set
        agent_prefix = excluded.agent_prefix, user_id = excluded.user_id,
        created_by = excluded.created_by, created_at = excluded.created_at, deleted_at = excluded.deleted_at;
    -- One that reconcile had found is asked for from now on; that approves nothing.
    update provisioning.jobs j set unreported = false
    from deleted d where j.agent_id = d.id and j.kind = 'deprovision' and j.state = 'paused' and j.unreported;
    insert into provisioning.jobs (kind, agent_id, agent_prefix, user_id)
    select 'deprovision', d.id, d.agent_prefix, d.user_id from deleted d order by d.id
    on conflict (agent_id, kind) where state = 'pending' do nothing;
    if found then
        perform provisioning.notify('agent_provisioning');
    end if;
    return null;
end $$;

revoke all on function provisioning.enqueue_provision() from public, anon, authenticated, service_role;
revoke all on function provisioning.enqueue_deprovision() from public, anon, authenticated, service_role;

create trigger enqueue_provision after insert on public.agents
    referencing new table as inserted
    for each statement execute function provisioning.enqueue_provision();

create trigger enqueue_deprovision after delete on public.agents
    referencing old table as deleted
    for each statement execute function provisioning.enqueue_deprovision();
