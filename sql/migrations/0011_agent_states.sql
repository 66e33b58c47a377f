-- How far each agent's tables are, as a row that a front end can follow: sql/base/38_agent_states.sql writes it.

-- The tables that sql/base/90_triggers.sql locks in this transaction, in the same order: a foreign key locks one of them.
do $$
declare
    before   constant text := current_setting('lock_timeout');
    deadline constant timestamptz := clock_timestamp() + interval '30 s';
    asked    timestamptz;
begin
    loop
        asked := clock_timestamp();
        begin
            set local lock_timeout = '20ms';
            if has_table_privilege(to_regclass('auth.users'), 'update') then
                lock table auth.users in share row exclusive mode;
            end if;
            lock table public.users, public.agents, public.whatsapp_configuration in access exclusive mode;
            lock table provisioning.jobs, provisioning.agents in share row exclusive mode;
            lock table public.businesses, public.user_businesses, public.business_invitations, public.meta_apps,
                public.whatsapp_numbers in access exclusive mode;
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

-- The states that only time or other jobs make are not here: provisioning.describe_agents computes them.
create table public.agent_states (
    agent_id         bigint primary key references public.agents (id) on delete cascade,
    state            text not null
                     constraint agent_states_state_check
                     check (state in ('pending', 'ready', 'failed', 'paused', 'cancelled', 'deleting')),
    template_version integer,
    message          text not null,
    changed_at       timestamptz not null default now()
);

-- Supabase Realtime sends the changes of tables that are in this publication.
do $$
begin
    if exists (select from pg_catalog.pg_publication p
               where p.pubname = 'supabase_realtime' and not p.puballtables
                 and pg_has_role(current_user, p.pubowner, 'usage')) then
        alter publication supabase_realtime add table public.agent_states;
    end if;
end $$;
