-- The triggers on our tables, and the two on auth.users.
--
-- From this file on tables are locked, to the end of the transaction: everything that takes longer stands before it.

set local client_min_messages = warning;    -- triggers that are not there yet

-- All of them, or none: whoever inserts an agent locks them in one order and who lets a function do it
-- in another, so waiting for one while holding another would be somebody's deadlock. Nobody may wait for auth.users with
-- everybody who signs up behind. Where this role may not lock it, the trigger has to.
do $$
declare
    before   constant text := current_setting('lock_timeout');
    deadline constant timestamptz := clock_timestamp() + interval '30 s';
    asked    timestamptz;
begin
    loop
        asked := clock_timestamp();
        begin
            -- Whoever comes behind us waits, too: briefly, and seldom.
            set local lock_timeout = '20ms';
            if has_table_privilege(to_regclass('auth.users'), 'update') then
                lock table auth.users in share row exclusive mode;
            end if;
            lock table public.users, public.agents, public.whatsapp_configuration in access exclusive mode;
            lock table provisioning.jobs, provisioning.agents in share row exclusive mode;
            lock table public.businesses, public.user_businesses, public.business_invitations, public.meta_apps,
                public.whatsapp_numbers, public.agent_states in access exclusive mode;
            exit;
        exception when lock_not_available then
            -- `migrate` rolls back, and tries again itself.
            if clock_timestamp() > deadline or current_setting('provisioning.wait_for_locks', true) = 'off' then
                raise;
            end if;
            perform pg_sleep(50 * extract(epoch from clock_timestamp() - asked));
        end;
    end loop;
    perform set_config('lock_timeout', before, true);
end $$;

create or replace trigger guard_agent before insert or update on public.agents
    for each row execute function provisioning.enforce_agent_rules();

create or replace trigger keep_identity before update on public.users for each row
    when (new.id is distinct from old.id or new.created_at is distinct from old.created_at)
    execute function provisioning.keep_identity();

create or replace trigger keep_identity before update on public.agents for each row
    when (new.id is distinct from old.id or new.created_at is distinct from old.created_at)
    execute function provisioning.keep_identity();

create or replace trigger keep_identity before update on public.whatsapp_configuration for each row
    when (new.id is distinct from old.id or new.created_at is distinct from old.created_at)
    execute function provisioning.keep_identity();

alter table public.agents
    alter agent_prefix set default provisioning.draw_prefix(),
    alter business_id set default provisioning.only_business();

create or replace trigger keep_identity before update on public.businesses for each row
    when (new.id is distinct from old.id or new.created_at is distinct from old.created_at)
    execute function provisioning.keep_identity();

create or replace trigger keep_identity before update on public.meta_apps for each row
    when (new.id is distinct from old.id or new.created_at is distinct from old.created_at)
    execute function provisioning.keep_identity();

create or replace trigger keep_identity before update on public.whatsapp_numbers for each row
    when (new.id is distinct from old.id or new.created_at is distinct from old.created_at)
    execute function provisioning.keep_identity();

-- Triggers fire in the order of their names: a project's own on_auth_user_created goes first.
create or replace trigger sync_public_user_insert after insert on auth.users
    for each row execute function provisioning.sync_user();

create or replace trigger sync_public_user_update after update on auth.users
    for each row when (old.email is distinct from new.email)
    execute function provisioning.sync_user();

create or replace trigger note_schedule before update of run_at on provisioning.jobs
    for each row when (new.run_at <> old.run_at) execute function provisioning.note_schedule();

-- The row of public.agent_states, at the commit. A constraint trigger cannot be replaced. The provision that an agent's own
-- INSERT queues needs none: that INSERT writes the row.
drop trigger if exists note_new_job on provisioning.jobs;
create constraint trigger note_new_job after insert on provisioning.jobs deferrable initially deferred
    for each row when (new.kind = 'deprovision' or new.kind = 'provision' and new.unreported)
    execute function provisioning.note_agent_state();

drop trigger if exists note_job_state on provisioning.jobs;
create constraint trigger note_job_state after update of state on provisioning.jobs deferrable initially deferred
    for each row when (new.state <> old.state and new.kind in ('provision', 'deprovision'))
    execute function provisioning.note_agent_state();

drop trigger if exists note_deleted_job on provisioning.jobs;
create constraint trigger note_deleted_job after delete on provisioning.jobs deferrable initially deferred
    for each row when (old.kind in ('provision', 'deprovision') and old.state <> 'succeeded')
    execute function provisioning.note_agent_state();

drop trigger if exists note_registration on provisioning.agents;
create constraint trigger note_registration after insert or delete or update of template_version on provisioning.agents
    deferrable initially deferred for each row execute function provisioning.note_agent_state();

create or replace trigger enqueue_provision after insert on public.agents
    referencing new table as inserted
    for each statement execute function provisioning.enqueue_provision();

-- Without the next trigger no deletion is reported. So the agents that are gone when it comes back may have been deleted, or
-- this may be another table than the one that had it, with fewer rows: a person decides.
insert into provisioning.jobs (
    kind, agent_id, agent_prefix, user_id, unreported, state, finished_at, last_error_code, last_error)
select 'deprovision', b.agent_id, b.agent_prefix, b.user_id, true, 'paused', now(), 'unreported_deletions',
    'the row in public.agents was gone when the trigger enqueue_deprovision came back'
from provisioning.agents b
where not exists (
        select from pg_catalog.pg_trigger t where t.tgrelid = 'public.agents'::regclass and t.tgname = 'enqueue_deprovision')
  and not exists (select from public.agents a where a.id = b.agent_id)
  and not exists (
      select from provisioning.jobs j
      where j.agent_id = b.agent_id and j.kind = 'deprovision' and j.state <> 'succeeded')
order by b.agent_id;
-- No table that is altered after this may have events that wait for the commit.
set constraints provisioning.note_new_job immediate;

create or replace trigger enqueue_deprovision after delete on public.agents
    referencing old table as deleted
    for each statement execute function provisioning.enqueue_deprovision();

create or replace trigger touch_updated_at before update on public.whatsapp_configuration
    for each row execute function provisioning.touch_updated_at();

create or replace trigger refuse_truncate before truncate on public.agents
    for each statement execute function provisioning.refuse_truncate();

create or replace trigger refuse_foreign_code after delete on public.agents
    for each statement execute function provisioning.refuse_foreign_code();

create or replace trigger touch_updated_at before update on public.businesses
    for each row execute function provisioning.touch_updated_at();

create or replace trigger touch_updated_at before update on public.meta_apps
    for each row execute function provisioning.touch_updated_at();

create or replace trigger touch_updated_at before update on public.whatsapp_numbers
    for each row execute function provisioning.touch_updated_at();

create or replace trigger guard_members after update or delete on public.user_businesses
    for each row execute function provisioning.guard_members();

create or replace trigger leave_default_business after update of role on public.users for each row
    when (old.role = 'admin' and new.role <> 'admin')
    execute function provisioning.leave_default_business();

create or replace trigger guard_app before update on public.meta_apps for each row
    when (new.business_id is distinct from old.business_id)
    execute function provisioning.guard_app();

create or replace trigger guard_secret before update on public.meta_apps for each row
    when (new.app_id <> old.app_id)
    execute function provisioning.guard_secret();

create or replace trigger guard_secret before update on public.whatsapp_numbers for each row
    when (new.phone_number_id <> old.phone_number_id or new.meta_app_id <> old.meta_app_id)
    execute function provisioning.guard_secret();

create or replace trigger guard_number before insert or update on public.whatsapp_numbers
    for each row execute function provisioning.guard_number();
