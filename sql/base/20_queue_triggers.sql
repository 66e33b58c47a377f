-- What fills the queue: functions of the triggers on public.agents and provisioning.jobs.
--
-- The triggers only write job rows, in the writer's own transaction: no DDL, no wait for a worker.
-- Everything else (claim, retry, dead letter, reconcile) is the worker's.

-- Whoever sets run_at: a scheduled_at in the future shows that the server's clock was set back since.
create or replace function provisioning.note_schedule() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if new.scheduled_at = old.scheduled_at then
        new.scheduled_at := clock_timestamp();
    end if;
    return new;
end $$;

-- Refuses a call from a trigger. A function that goes by the session's role would take the code of a table's owner, which
-- runs when somebody else writes to that table or to one that it refers to, for the session's.
create or replace function provisioning.refuse_in_trigger() returns void
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if pg_trigger_depth() > 0 then
        raise exception 'this cannot be called by a trigger' using errcode = 'insufficient_privilege';
    end if;
end $$;

-- Sends a notification, unless the server's queue of notifications is nearly full. Returns whether it did.
-- All databases of a server share that queue. A session that listens and stays in a transaction fills it.
-- While it is full, every transaction that notifies fails at its COMMIT (54000). A notification is a hint,
-- and workers poll: it must not cost the transaction.
-- full_at: the share of the queue that counts as nearly full
create or replace function provisioning.notify(
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

-- UNIQUE (agent_prefix) makes a re-create wait for the delete's commit, and the job's id is drawn
-- after that wait: per prefix the order of ids is the order of commits.
create or replace function provisioning.enqueue_provision() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into provisioning.jobs (kind, agent_id, agent_prefix, user_id)
    select 'provision', i.id, i.agent_prefix, i.user_id from inserted i order by i.id
    on conflict (agent_id, kind) where state = 'pending' do nothing;
    if found then
        perform provisioning.notify('agent_provisioning');
    end if;
    insert into public.agent_states as s (agent_id, state, template_version, message)
    select d.agent_id, d.state, d.template_version, d.message
    from provisioning.lasting_states(array(select i.id from inserted i order by i.id)) d
    on conflict (agent_id) do update set
        state = excluded.state, template_version = excluded.template_version, message = excluded.message,
        changed_at = excluded.changed_at;
    return null;
end $$;

-- A conflict means that the deletion was asked for already: the worker is deleting this very row, or
-- the job is paused, which a DELETE does not approve.
create or replace function provisioning.enqueue_deprovision() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into provisioning.deleted_agents as known (agent_id, agent_prefix, user_id, created_by, created_at, business_id)
    select d.id, d.agent_prefix, d.user_id, d.created_by, d.created_at, d.business_id from deleted d order by d.id
    on conflict (agent_id) do update set
        agent_prefix = excluded.agent_prefix, user_id = excluded.user_id,
        created_by = excluded.created_by, created_at = excluded.created_at, deleted_at = excluded.deleted_at,
        business_id = excluded.business_id;
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
