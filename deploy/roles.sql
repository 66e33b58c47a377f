-- The role the worker logs in with. Run as postgres after `agent-provisioner migrate`, in psql or
-- in Studio's SQL editor; it may run again. Then give the role a password, in psql:
--
--     \password agent_provisioner
--
-- That sends a SCRAM verifier. `alter role ... password` would send the password itself, into the server's log.
--
-- It builds and owns agents' tables and works the job queue, whose rows it writes through functions only. It
-- cannot read customers' rows or API keys, change an agent, delete an agent or switch off a WhatsApp
-- configuration where nobody asked for the deletion, confirm a paused deletion, or reach schema auth.
--
-- And the role of the operator's console, agent_console. It reads the queue and the registry, and no row of an agent, a user
-- or a WhatsApp configuration. It can replay and cancel jobs and approve paused deletions. Without a password, as this
-- script leaves it, nobody logs in with it: \password agent_console

begin;
-- Whoever may create in schema public could put operators there that fit better than the built-in ones.
set local search_path = pg_catalog, pg_temp;
set local client_min_messages = warning;

-- Roles belong to the whole cluster: another database may have made it, or be making it now.
do $$
declare
    settings constant text[] := array[
        'statement_timeout=60s', 'lock_timeout=5s', 'idle_in_transaction_session_timeout=60s'
    ];
    of_console constant text[] := array[
        'statement_timeout=30s', 'lock_timeout=2s', 'idle_in_transaction_session_timeout=30s'
    ];
begin
    if to_regrole('agent_provisioner') is null then
        begin
            create role agent_provisioner login connection limit 50
                nosuperuser nocreatedb nocreaterole noreplication nobypassrls;
        exception when duplicate_object or unique_violation then
            null;
        end;
    end if;

    -- A net under the shorter limits that the worker sets for itself.
    if not exists (select from pg_catalog.pg_db_role_setting s
                   where s.setrole = to_regrole('agent_provisioner') and s.setdatabase = 0
                     and s.setconfig @> settings) then
        alter role agent_provisioner set statement_timeout = '60s';
        alter role agent_provisioner set lock_timeout = '5s';
        alter role agent_provisioner set idle_in_transaction_session_timeout = '60s';
    end if;

    -- So that Studio and migrations, as postgres, may alter the tables that the worker builds, and
    -- provisioning.refer_to_agents, too.
    if not pg_has_role('postgres', 'agent_provisioner', 'usage') then
        execute 'grant agent_provisioner to postgres' || case
            when current_setting('server_version_num')::integer >= 160000 then ' with inherit true' else '' end;
    end if;

    execute format('grant connect on database %I to agent_provisioner', current_database());

    if to_regrole('agent_console') is null then
        begin
            create role agent_console login connection limit 20
                nosuperuser nocreatedb nocreaterole noreplication nobypassrls;
        exception when duplicate_object or unique_violation then
            null;
        end;
    end if;
    -- A net, too. The role may set them otherwise for its sessions, and has 20 of those at most.
    if not exists (select from pg_catalog.pg_db_role_setting s
                   where s.setrole = to_regrole('agent_console') and s.setdatabase = 0
                     and s.setconfig @> of_console) then
        alter role agent_console set statement_timeout = '30s';
        alter role agent_console set lock_timeout = '2s';
        alter role agent_console set idle_in_transaction_session_timeout = '30s';
    end if;
    execute format('grant connect on database %I to agent_console', current_database());
end $$;

-- Policies lock their tables. All of them, or none: an INSERT into agents goes on to the queue, and a
-- worker comes the other way, so waiting for one while holding another would be somebody's deadlock.
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
            lock table public.agents, public.whatsapp_configuration, provisioning.migrations,
                provisioning.repeatables, provisioning.jobs, provisioning.attempts, provisioning.agents,
                provisioning.agent_tables, provisioning.agent_types, provisioning.deleted_agents, provisioning.rollouts,
                provisioning.rollout_agents, provisioning.accepted_findings, provisioning.moves in access exclusive mode;
            exit;
        exception when lock_not_available then
            if clock_timestamp() > deadline then
                raise;
            end if;
            perform pg_sleep(50 * extract(epoch from clock_timestamp() - asked));
        end;
    end loop;
    perform set_config('lock_timeout', before, true);
end $$;

grant usage, create on schema public to agent_provisioner;
grant usage on schema provisioning to agent_provisioner;
grant usage, create on schema provisioning_trash to agent_provisioner;

grant select on provisioning.migrations, provisioning.repeatables to agent_provisioner;

-- What decides which agents go: written by functions, which prove what they write. An older version of this
-- script granted more.
revoke all on provisioning.jobs, provisioning.attempts, provisioning.agents, provisioning.deleted_agents, provisioning.moves,
    public.agents, public.whatsapp_configuration from agent_provisioner;
revoke all on sequence provisioning.jobs_id_seq from agent_provisioner;
drop policy if exists worker_delete on public.agents;
drop policy if exists worker_select on public.whatsapp_configuration;
drop policy if exists worker_update on public.whatsapp_configuration;
grant select on provisioning.jobs, provisioning.attempts, provisioning.agents, provisioning.deleted_agents,
    provisioning.rollouts, provisioning.rollout_agents, provisioning.accepted_findings to agent_provisioner;
-- For doctor. Not what is carried, nor what is given back.
grant select (id, direction, is_copy, agent_id, agent_prefix, peer, state, job, begun_at, handed_over_at, ended_at)
    on provisioning.moves to agent_provisioner;
-- Without the keys that a deletion has taken off: those are given back with an operator's rights.
grant update (template_version, reference) on provisioning.agents to agent_provisioner;
grant execute on function provisioning.settle(bigint, text, double precision),
    provisioning.begin_deletion(bigint), provisioning.cancel_earlier(bigint),
    provisioning.record_failure(bigint, integer, integer, text, double precision, double precision, boolean,
        text, boolean, jsonb),
    provisioning.is_free(bigint), provisioning.begin_repair(bigint),
    provisioning.enqueue(text, bigint[], boolean, integer, text, text, smallint, text[]),
    provisioning.reconcile(), provisioning.replay(bigint[], text, text[], text, text, boolean, boolean),
    provisioning.cancel(bigint[], text, text, boolean), provisioning.end_blocked(bigint),
    provisioning.prune(double precision, bigint, bigint, boolean),
    provisioning.start_rollout(bigint[], integer, text, integer, integer, integer, text, text),
    provisioning.change_rollout(bigint, text, text, text), provisioning.advance_rollouts(),
    provisioning.enter_agent(bigint, integer, text) to agent_provisioner;

grant select, insert, update, delete
    on provisioning.agent_tables, provisioning.agent_types, provisioning.templates,
    provisioning.verified_agents, provisioning.drifted_agents, provisioning.verify_turn
    to agent_provisioner;
-- Functions write there, and read in the catalog what they write.
revoke all on provisioning.trash, provisioning.trash_relations, provisioning.purge_holds from agent_provisioner;
revoke all on function provisioning.unpublish(regclass) from agent_provisioner;
grant select on provisioning.trash, provisioning.trash_relations, provisioning.purge_holds to agent_provisioner;
grant execute on function provisioning.note_keys(bigint, oid[]),
    provisioning.trash_agent(bigint, double precision, double precision),
    provisioning.purge_due(double precision), provisioning.purge_item(bigint, boolean),
    provisioning.restore_item(bigint) to agent_provisioner;
grant execute on function provisioning.objects_of_others(name),
    provisioning.agent_state(boolean, boolean, text, text, boolean, boolean),
    provisioning.no_worker(timestamptz) to agent_provisioner;
grant execute on function provisioning.touch_updated_at(), provisioning.total_orders(), provisioning.check_number(),
    provisioning.note_messages()
    to agent_provisioner;       -- to create triggers with
grant execute on function provisioning.next_id(bigint, regclass, name)
    to agent_provisioner;       -- for the rows that templates begin with
grant execute on function provisioning.claimable_jobs(text[], integer, integer),
    provisioning.next_due(text[], integer), provisioning.claim(text[], integer, integer),
    provisioning.made_here(regclass, oid),
    provisioning.register(bigint, text[], text[]), provisioning.requeue_behind_former(bigint, bigint),
    provisioning.living_agents(bigint[]), provisioning.highest_agent_id(), provisioning.hold_agent(bigint, text),
    provisioning.remove_agent(bigint, bigint) to agent_provisioner;
grant select, insert, update, delete on provisioning.instances to agent_provisioner;
grant execute on function provisioning.secrets_by_key() to agent_provisioner;
grant execute on function provisioning.notify(text, text, double precision),
    provisioning.end_clock_waits(),
    provisioning.is_current(timestamptz), provisioning.differing_instances(bigint, jsonb),
    provisioning.show_instance(bigint, text, integer, text, jsonb, jsonb, text, text) to agent_provisioner;
-- What paces locks on shared tables. DELETE allows the locks on the gates, which are empty.
grant delete on provisioning.lock_gate, provisioning.sweep_gate, provisioning.limit_gate to agent_provisioner;
grant select, update on sequence provisioning.lock_budget, provisioning.lock_writers_since,
    provisioning.lock_writers_last, provisioning.lock_all_since, provisioning.lock_all_last
    to agent_provisioner;
grant execute on function provisioning.lock_pace(text), provisioning.require_lock_turn(text),
    provisioning.lock_referenced(regclass[], text, boolean), provisioning.lock_shared(text, text[], text[]),
    provisioning.pause_lock_waits(interval), provisioning.free_lock_waiters(boolean),
    provisioning.lock_holders() to agent_provisioner;
grant execute on function provisioning.publish(regclass, name) to agent_provisioner;
grant execute on function provisioning.restore_statement(jsonb),
    provisioning.key_definition(jsonb), provisioning.keys_off(bigint[]),
    provisioning.forget_keys(bigint), provisioning.require_plain_key(regclass, smallint[], regclass, smallint[]),
    provisioning.refer_to_agents(jsonb), provisioning.make_key(jsonb), provisioning.add_key(jsonb),
    provisioning.validate_key(regclass, text) to agent_provisioner;

drop policy if exists worker on provisioning.migrations;
create policy worker on provisioning.migrations for select to agent_provisioner
    using ((select current_user = 'agent_provisioner'));
drop policy if exists worker on provisioning.repeatables;
create policy worker on provisioning.repeatables for select to agent_provisioner
    using ((select current_user = 'agent_provisioner'));
drop policy if exists worker on provisioning.jobs;
create policy worker on provisioning.jobs for select to agent_provisioner
    using ((select current_user = 'agent_provisioner'));
drop policy if exists worker on provisioning.attempts;
create policy worker on provisioning.attempts for select to agent_provisioner
    using ((select current_user = 'agent_provisioner'));
drop policy if exists worker on provisioning.rollouts;
create policy worker on provisioning.rollouts for select to agent_provisioner
    using ((select current_user = 'agent_provisioner'));
drop policy if exists worker on provisioning.accepted_findings;
create policy worker on provisioning.accepted_findings for select to agent_provisioner
    using ((select current_user = 'agent_provisioner'));
drop policy if exists worker on provisioning.moves;
create policy worker on provisioning.moves for select to agent_provisioner
    using ((select current_user = 'agent_provisioner'));
drop policy if exists worker on provisioning.rollout_agents;
create policy worker on provisioning.rollout_agents for select to agent_provisioner
    using ((select current_user = 'agent_provisioner'));
drop policy if exists worker on provisioning.agents;
create policy worker on provisioning.agents for all to agent_provisioner
    using ((select current_user = 'agent_provisioner')) with check ((select current_user = 'agent_provisioner'));
-- It registers what it owns: a deletion, whoever works it, drops what is registered.
drop policy if exists worker on provisioning.agent_tables;
create policy worker on provisioning.agent_tables for all to agent_provisioner
    using ((select current_user = 'agent_provisioner'))
    with check (exists (
        select from pg_catalog.pg_class c
        where c.oid = agent_tables.relation and pg_catalog.pg_has_role(c.relowner, 'usage')
    ));
drop policy if exists worker on provisioning.agent_types;
create policy worker on provisioning.agent_types for all to agent_provisioner
    using ((select current_user = 'agent_provisioner'))
    with check (exists (
        select from pg_catalog.pg_type y
        where y.oid = agent_types.type and pg_catalog.pg_has_role(y.typowner, 'usage')
    ));
drop policy if exists worker on provisioning.templates;
create policy worker on provisioning.templates for all to agent_provisioner
    using ((select current_user = 'agent_provisioner')) with check ((select current_user = 'agent_provisioner'));

-- What it found. An operator's own findings it does not see.
drop policy if exists worker on provisioning.verified_agents;
create policy worker on provisioning.verified_agents for all to agent_provisioner
    using ((select current_user = 'agent_provisioner') and verified_by = 'agent_provisioner')
    with check ((select current_user = 'agent_provisioner') and verified_by = 'agent_provisioner');
drop policy if exists worker on provisioning.drifted_agents;
create policy worker on provisioning.drifted_agents for all to agent_provisioner
    using ((select current_user = 'agent_provisioner')) with check ((select current_user = 'agent_provisioner'));
drop policy if exists worker on provisioning.verify_turn;
create policy worker on provisioning.verify_turn for all to agent_provisioner
    using ((select current_user = 'agent_provisioner')) with check ((select current_user = 'agent_provisioner'));

drop policy if exists worker on provisioning.deleted_agents;
create policy worker on provisioning.deleted_agents for select to agent_provisioner
    using ((select current_user = 'agent_provisioner'));
drop policy if exists worker on provisioning.instances;
create policy worker on provisioning.instances for all to agent_provisioner
    using ((select current_user = 'agent_provisioner')) with check ((select current_user = 'agent_provisioner'));
drop policy if exists worker on provisioning.trash;
create policy worker on provisioning.trash for select to agent_provisioner
    using ((select current_user = 'agent_provisioner'));
drop policy if exists worker on provisioning.trash_relations;
create policy worker on provisioning.trash_relations for select to agent_provisioner
    using ((select current_user = 'agent_provisioner'));
drop policy if exists worker on provisioning.purge_holds;
create policy worker on provisioning.purge_holds for select to agent_provisioner
    using ((select current_user = 'agent_provisioner'));

-- UPDATE of one column (which a trigger keeps as it is) allows the row lock. provisioning.remove_agent deletes
-- the row, and switches the WhatsApp configuration off. No REFERENCES: with that the role could run code as the
-- owner of the table. provisioning.refer_to_agents adds the foreign keys.
grant select, update (id) on public.agents to agent_provisioner;
drop policy if exists worker_select on public.agents;
create policy worker_select on public.agents for select to agent_provisioner
    using ((select current_user = 'agent_provisioner'));
drop policy if exists worker_update on public.agents;
create policy worker_update on public.agents for update to agent_provisioner
    using ((select current_user = 'agent_provisioner')) with check (false);

-- The console: what it shows, and the functions behind its buttons. Each records who asked, and why.
grant usage on schema provisioning to agent_console;
do $$
declare
    shown text;
begin
    foreach shown in array array[
        'migrations', 'repeatables', 'jobs', 'attempts', 'agents', 'agent_tables', 'drifted_agents', 'verify_turn',
        'instances', 'trash', 'trash_relations', 'purge_holds', 'templates', 'rollouts',
        'rollout_agents', 'accepted_findings', 'actions'
    ] loop
        execute format('revoke all on provisioning.%I from agent_console', shown);
        execute format('grant select on provisioning.%I to agent_console', shown);
        execute format('drop policy if exists console on provisioning.%I', shown);
        execute format('create policy console on provisioning.%I for select to agent_console '
            'using ((select current_user = %L))', shown, 'agent_console');
    end loop;
end $$;
grant execute on function provisioning.living_agents(bigint[]),
    provisioning.agent_state(boolean, boolean, text, text, boolean, boolean),
    provisioning.no_worker(timestamptz), provisioning.is_current(timestamptz), provisioning.lock_holders(),
    provisioning.keys_off(bigint[]), provisioning.key_definition(jsonb), provisioning.restore_statement(jsonb),
    provisioning.replay(bigint[], text, text[], text, text, boolean, boolean),
    provisioning.cancel(bigint[], text, text, boolean),
    provisioning.start_rollout(bigint[], integer, text, integer, integer, integer, text, text),
    provisioning.change_rollout(bigint, text, text, text),
    provisioning.accept_finding(text, text, text, date, text), provisioning.withdraw_finding(text, text, text),
    provisioning.repair_as_shown(bigint[], text[], text, text),
    provisioning.request_restore(bigint, text, text), provisioning.request_purge(bigint, text, text),
    provisioning.list_businesses(text, uuid, bigint), provisioning.list_members(uuid, bigint),
    provisioning.list_numbers(uuid, bigint) to agent_console;

commit;

-- After a restore without owners, or of another login, agents' tables are not the worker's: it could neither change nor
-- drop them. So many at a time that their locks fit.
do $$
declare
    worker  constant oid := to_regrole('agent_provisioner');
    foreign_object record;
    left_over bigint;
begin
    set local search_path = pg_catalog, pg_temp;
    set local lock_timeout = '5s';
    for foreign_object in
        with ours as (
            select c.oid, false as is_type
            from provisioning.agent_tables t
            join provisioning.agents a on a.agent_id = t.agent_id
            join pg_catalog.pg_class c on c.oid = t.relation and c.relname ^@ (a.agent_prefix || '_')
            union
            select c.oid, false from pg_catalog.pg_class c
            where c.relnamespace = 'provisioning_trash'::regnamespace and c.relkind in ('r', 'p')
            union
            select y.oid, true
            from provisioning.agent_types t
            join provisioning.agents a on a.agent_id = t.agent_id
            join pg_catalog.pg_type y on y.oid = t.type and y.typname ^@ (a.agent_prefix || '_')
        ), owned as (
            select o.oid, o.is_type, coalesce(c.relowner, y.typowner) as owner
            from ours o
            left join pg_catalog.pg_class c on c.oid = o.oid and not o.is_type
            left join pg_catalog.pg_type y on y.oid = o.oid and o.is_type
        )
        select o.oid, o.is_type, count(*) over () as objects
        from owned o
        where not pg_has_role(worker, o.owner, 'usage') and pg_has_role(o.owner, 'usage')
        order by o.oid
        limit 500
    loop
        left_over := foreign_object.objects - 500;
        if foreign_object.is_type then
            execute format('alter type %s owner to agent_provisioner', foreign_object.oid::regtype);
        else
            execute format('alter table %s owner to agent_provisioner', foreign_object.oid::regclass);
        end if;
    end loop;
    if left_over > 0 then
        raise warning '% tables and types of agents are left: run this file again', left_over;
    end if;
end $$;
