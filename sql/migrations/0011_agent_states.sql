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

-- Agents that go to another database (out), or come from one (in). Each of the two databases has a row, with the same id. Both
-- cannot commit at once: the row of the source decides where the agent is.
create table provisioning.moves (
    id             uuid primary key,
    direction      text not null check (direction in ('out', 'in')),
    is_copy        boolean not null default false check (not is_copy or direction = 'in'),  -- the other database keeps the agent, too
    agent_id       bigint not null,         -- in this database; no foreign key: the agent may be gone by now
    agent_prefix   text not null,
    peer           text not null check (char_length(peer) between 1 and 200),  -- the other database, as the settings call it
    -- begun: the agent is where it was. copied (in): all rows are here, and nobody may use them. handed_over (out): writers are
    -- refused, and the other side is the one that goes on. done, aborted: it is over.
    state          text not null default 'begun' check (state in ('begun', 'copied', 'handed_over', 'done', 'aborted')),
    copy           uuid,                    -- in: the copy that is here. out: the copy that was handed over
    row_count      bigint,                  -- of that copy
    tables         regclass[] not null default '{}',    -- in: what was built, as in agent_tables
    table_names    text[] not null default '{}',
    types          regtype[] not null default '{}',
    type_names     text[] not null default '{}',
    restore_actions jsonb not null default '[]',    -- in: what was taken off the tables until they are used, as in trash
    carried        jsonb,                   -- in, until it is over: the agent's rows in tables that all agents share
    job            bigint,                  -- out: moves the tables into the trash; in: none
    begun_at       timestamptz not null default now(),
    begun_by       text not null check (char_length(begun_by) <= 200),  -- the role, and the person behind it where one is known
    handed_over_at timestamptz,
    ended_at       timestamptz,
    constraint moves_side_check check (state <> case direction when 'out' then 'copied' else 'handed_over' end),
    constraint moves_copy_check check (state not in ('copied', 'handed_over') or copy is not null),
    constraint moves_ended_check check ((state in ('done', 'aborted')) = (ended_at is not null))
);
-- One at a time.
create unique index moves_open_key on provisioning.moves (agent_prefix) where ended_at is null;
create index moves_agent_id_idx on provisioning.moves (agent_id);
