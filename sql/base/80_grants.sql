-- Who may do what: PUBLIC and the roles of the API. What the worker's role may do is in deploy/roles.sql.
--
-- A new table, sequence or function may be everybody's: a project's default privileges decide that. So each is taken
-- from these roles first, and then given to those who need it. TRUNCATE is not stopped by row security.
--
-- Every object of ours is named to the letter. A project may have its own in schema provisioning, and in schema public
-- functions with our names and other arguments: nothing is taken from them, and nothing is given. `migrate repair` sets
-- provisioning.made_anew to the objects that it has made, one a line, and everything else keeps what it has.

do $$
declare
    ours constant text[] := array[
        'schema provisioning',
        'schema provisioning_trash',
        'table provisioning.accepted_findings',
        'table provisioning.actions',
        'table provisioning.agent_tables',
        'table provisioning.agent_types',
        'table provisioning.agents',
        'table provisioning.attempts',
        'table provisioning.deleted_agents',
        'table provisioning.drifted_agents',
        'table provisioning.instances',
        'table provisioning.jobs',
        'table provisioning.limit_gate',
        'table provisioning.lock_gate',
        'table provisioning.migrations',
        'table provisioning.moves',
        'table provisioning.purge_holds',
        'table provisioning.repeatables',
        'table provisioning.rollout_agents',
        'table provisioning.rollouts',
        'table provisioning.secrets',
        'table provisioning.sweep_gate',
        'table provisioning.templates',
        'table provisioning.trash',
        'table provisioning.trash_relations',
        'table provisioning.unknown_numbers',
        'table provisioning.verified_agents',
        'table provisioning.verify_turn',
        'table public.agent_states',
        'table public.agents',
        'table public.business_invitations',
        'table public.businesses',
        'table public.meta_apps',
        'table public.user_businesses',
        'table public.users',
        'table public.whatsapp_configuration',
        'table public.whatsapp_numbers',
        'table provisioning.displaced_tables',
        'table provisioning.job_waits',
        'sequence provisioning.actions_id_seq',
        'sequence provisioning.jobs_id_seq',
        'sequence provisioning.lock_all_last',
        'sequence provisioning.lock_all_since',
        'sequence provisioning.lock_budget',
        'sequence provisioning.lock_writers_last',
        'sequence provisioning.lock_writers_since',
        'sequence provisioning.purge_holds_hold_seq',
        'sequence provisioning.rollouts_id_seq',
        'sequence provisioning.trash_id_seq',
        'sequence public.agents_id_seq',
        'sequence public.whatsapp_configuration_id_seq',
        'function provisioning.accept_finding(text,text,text,date,text)',
        'function provisioning.accept_invitation(uuid)',
        'function provisioning.add_agent_states()',
        'function provisioning.add_key(jsonb)',
        'function provisioning.advance_rollouts()',
        'function provisioning.agent_state(boolean,boolean,text,text,boolean,boolean)',
        'function provisioning.agent_state_message(text,text,bigint,text,bigint)',
        'function provisioning.agent_status(bigint)',
        'function provisioning.agent_statuses()',
        'function provisioning.begin_deletion(bigint)',
        'function provisioning.begin_repair(bigint)',
        'function provisioning.business_of_creator(uuid)',
        'function provisioning.business_role(uuid)',
        'function provisioning.cancel(bigint[],text,text,boolean)',
        'function provisioning.cancel_earlier(bigint)',
        'function provisioning.change_member_role(uuid,uuid,text)',
        'function provisioning.change_rollout(bigint,text,text,text)',
        'function provisioning.check_number()',
        'function provisioning.claim(text[],integer,integer)',
        'function provisioning.claimable_jobs(text[],integer,integer)',
        'function provisioning.confirmed_email()',
        'function provisioning.copy_sign_ups()',
        'function provisioning.create_agent_indexes(text)',
        'function provisioning.create_agent_tables(text,bigint)',
        'function provisioning.create_business(text,text,uuid)',
        'function provisioning.delete_agent(bigint)',
        'function provisioning.describe_agents(bigint[])',
        'function provisioning.differing_instances(bigint,jsonb)',
        'function provisioning.draw_prefix()',
        'function provisioning.drop_built(uuid)',
        'function provisioning.drop_agent_tables(text)',
        'function provisioning.end_blocked(bigint)',
        'function provisioning.end_clock_waits()',
        'function provisioning.enforce_agent_rules()',
        'function provisioning.enqueue(text,bigint[],boolean,integer,text,text,smallint,text[])',
        'function provisioning.enqueue_deprovision()',
        'function provisioning.enqueue_or_replay(text,bigint,text,uuid,text)',
        'function provisioning.enqueue_provision()',
        'function provisioning.enter_agent(bigint,integer,text)',
        'function provisioning.fill_conversations(text,integer)',
        'function provisioning.forget_keys(bigint)',
        'function provisioning.free_lock_waiters(boolean)',
        'function provisioning.free_name(text,bigint,bigint)',
        'function provisioning.get_meta_app_secrets(text)',
        'function provisioning.get_whatsapp_token(text)',
        'function provisioning.grants_on(oid[])',
        'function provisioning.guard_app()',
        'function provisioning.guard_members()',
        'function provisioning.guard_number()',
        'function provisioning.guard_secret()',
        'function provisioning.hand_over(uuid,uuid,bigint,text)',
        'function provisioning.highest_agent_id()',
        'function provisioning.hold_agent(bigint,text)',
        'function provisioning.invite_member(uuid,text,uuid,text)',
        'function provisioning.is_admin()',
        'function provisioning.is_backend()',
        'function provisioning.is_current(timestamp with time zone)',
        'function provisioning.is_free(bigint)',
        'function provisioning.is_held_by_move(bigint)',
        'function provisioning.is_moved_item(bigint)',
        'function provisioning.is_operator(name)',
        'function provisioning.is_own_session(oid,text)',
        'function provisioning.keep_identity()',
        'function provisioning.key_definition(jsonb)',
        'function provisioning.key_entry(oid)',
        'function provisioning.keys_off(bigint[])',
        'function provisioning.lasting_states(bigint[])',
        'function provisioning.leave_default_business()',
        'function provisioning.leaving_agent(bigint)',
        'function provisioning.leaving_tables(bigint)',
        'function provisioning.list_businesses(text,uuid,bigint)',
        'function provisioning.list_members(uuid,bigint)',
        'function provisioning.list_numbers(uuid,bigint)',
        'function provisioning.living_agents(bigint[])',
        'function provisioning.lock_holder(integer,text)',
        'function provisioning.lock_holders()',
        'function provisioning.lock_move(uuid,text[])',
        'function provisioning.lock_pace(text)',
        'function provisioning.lock_referenced(regclass[],text,boolean)',
        'function provisioning.lock_run_at(text,boolean)',
        'function provisioning.lock_shared(text,text[],text[])',
        'function provisioning.made_here(regclass,oid)',
        'function provisioning.make_key(jsonb)',
        'function provisioning.my_agents()',
        'function provisioning.my_businesses(text)',
        'function provisioning.next_due(text[],integer)',
        'function provisioning.next_id(bigint,regclass,name)',
        'function provisioning.no_worker(timestamp with time zone)',
        'function provisioning.note_action(text,text,text,bigint[],bigint,text)',
        'function provisioning.note_agent_state()',
        'function provisioning.note_agent_states(bigint[])',
        'function provisioning.note_attempt(bigint,text,double precision,text,jsonb)',
        'function provisioning.note_built(uuid,text[],text[],jsonb)',
        'function provisioning.note_keys(bigint,oid[])',
        'function provisioning.note_messages()',
        'function provisioning.note_schedule()',
        'function provisioning.notify(text,text,double precision)',
        'function provisioning.objects_of_others(name)',
        'function provisioning.only_business()',
        'function provisioning.owned_agent(bigint)',
        'function provisioning.pause_lock_waits(interval)',
        'function provisioning.peek_agent(bigint)',
        'function provisioning.prefix_lock_seed()',
        'function provisioning.prune(double precision,bigint,bigint,boolean)',
        'function provisioning.publish(regclass,name)',
        'function provisioning.purge_due(double precision)',
        'function provisioning.purge_item(bigint,boolean)',
        'function provisioning.queue_jobs(text,bigint[],boolean,integer,text,text,smallint,text[])',
        'function provisioning.reconcile()',
        'function provisioning.record_failure(bigint,integer,integer,text,double precision,double precision,boolean,text,boolean,jsonb)',
        'function provisioning.refer_to_agents(jsonb)',
        'function provisioning.refuse_foreign_code()',
        'function provisioning.refuse_in_trigger()',
        'function provisioning.refuse_moved()',
        'function provisioning.refuse_truncate()',
        'function provisioning.register(bigint,text[],text[])',
        'function provisioning.remove_agent(bigint,bigint)',
        'function provisioning.remove_member(uuid,uuid)',
        'function provisioning.repair_as_shown(bigint[],text[],text,text)',
        'function provisioning.replay(bigint[],text,text[],text,text,boolean,boolean)',
        'function provisioning.requester(text)',
        'function provisioning.requeue_behind_former(bigint,bigint)',
        'function provisioning.request_purge(bigint,text,text)',
        'function provisioning.request_restore(bigint,text,text)',
        'function provisioning.require_agents()',
        'function provisioning.require_deletion(bigint)',
        'function provisioning.require_free_place(text,bigint,text)',
        'function provisioning.require_own_tables(oid[])',
        'function provisioning.require_lock_turn(text)',
        'function provisioning.require_operator()',
        'function provisioning.require_plain_key(regclass,smallint[],regclass,smallint[])',
        'function provisioning.require_present()',
        'function provisioning.restore_item(bigint)',
        'function provisioning.restore_statement(jsonb)',
        'function provisioning.role_rank(text)',
        'function provisioning.role_refusal(uuid,text)',
        'function provisioning.route_message(text)',
        'function provisioning.secret_status(uuid)',
        'function provisioning.secrets_by_key()',
        'function provisioning.settle(bigint,text,double precision)',
        'function provisioning.show_instance(bigint,text,integer,text,jsonb,jsonb,text,text)',
        'function provisioning.staffed_agent(bigint)',
        'function provisioning.start_rollout(bigint[],integer,text,integer,integer,integer,text,text)',
        'function provisioning.sync_user()',
        'function provisioning.take_back(uuid)',
        'function provisioning.take_from_trash(bigint)',
        'function provisioning.take_over(uuid,uuid)',
        'function provisioning.total_orders()',
        'function provisioning.touch_updated_at()',
        'function provisioning.trash_agent(bigint,double precision,double precision)',
        'function provisioning.unpublish(regclass)',
        'function provisioning.update_agent_details(bigint,jsonb,jsonb,uuid)',
        'function provisioning.upsert_public_user(uuid,text,text,text)',
        'function provisioning.user_error(text,text,text)',
        'function provisioning.user_name(text,jsonb)',
        'function provisioning.validate_key(regclass,text)',
        'function provisioning.withdraw_finding(text,text,text)',
        'function provisioning.worker_role()',
        'function public.accept_invitation(uuid)',
        'function public.add_whatsapp_number(uuid,uuid,text,text,text,bigint)',
        'function public.agent_status(bigint)',
        'function public.agent_statuses()',
        'function public.change_member_role(uuid,uuid,text)',
        'function public.create_agent(uuid,character varying,uuid,uuid)',
        'function public.create_agent_indexes(text)',
        'function public.create_agent_tables(text,bigint)',
        'function public.create_business(text,text,uuid)',
        'function public.create_whatsapp_config(uuid,character varying,text,text,character varying,character varying)',
        'function public.delete_agent(bigint)',
        'function public.delete_whatsapp_config(uuid)',
        'function public.drop_agent_tables(text)',
        'function public.get_meta_app_secrets(text)',
        'function public.get_whatsapp_config(uuid)',
        'function public.get_whatsapp_token(text)',
        'function public.invite_member(uuid,text,uuid,text)',
        'function public.move_agent(bigint,uuid)',
        'function public.remove_member(uuid,uuid)',
        'function public.route_message(text)',
        'function public.secret_status(uuid)',
        'function public.update_agent_details(bigint,jsonb,jsonb,uuid)',
        'function public.update_business_settings(uuid,jsonb)',
        'function public.update_whatsapp_config(uuid,character varying,text,text,character varying,character varying,boolean,text)'
    ];
    made_anew constant text[] := string_to_array(nullif(current_setting('provisioning.made_anew', true), ''), chr(10));
    object    text;
    held      record;
    kept      text[];
begin
    -- What these roles may do with a column that a project has added stays, though the table is taken from them.
    kept := array(
        select format('grant %s (%I) on %s to %s%s', g.privilege_type, a.attname, t.name::regclass,
            case when g.grantee = 0 then 'public' else g.grantee::regrole::text end,
            case when g.is_grantable then ' with grant option' end)
        from (values
            ('public.users', array['id', 'email', 'name', 'role', 'created_at']),
            ('public.agents', array['id', 'agent_prefix', 'created_at', 'user_id', 'created_by', 'business_id']),
            ('public.whatsapp_configuration', array[
                'id', 'user_id', 'whatsapp_number', 'api_key', 'webhook_url', 'phone_number_id',
                'business_account_id', 'is_active', 'verify_token', 'created_at', 'updated_at']),
            ('public.agent_states', array['agent_id', 'state', 'template_version', 'message', 'changed_at']),
            ('public.businesses', array['id', 'name', 'type', 'settings', 'created_at', 'updated_at']),
            ('public.user_businesses', array['user_id', 'business_id', 'role', 'created_at']),
            ('public.business_invitations', array[
                'id', 'business_id', 'role', 'user_id', 'email', 'invited_by', 'created_at', 'expires_at']),
            ('public.meta_apps', array['id', 'business_id', 'app_id', 'name', 'created_at', 'updated_at']),
            ('public.whatsapp_numbers', array[
                'id', 'business_id', 'meta_app_id', 'agent_id', 'phone_number_id', 'business_account_id',
                'display_number', 'is_active', 'created_at', 'updated_at'])) t (name, columns)
        join pg_catalog.pg_attribute a on a.attrelid = t.name::regclass and a.attnum > 0 and not a.attisdropped
            and a.attname <> all (t.columns)
        cross join lateral (
            select e.grantee, e.privilege_type, e.is_grantable from aclexplode(a.attacl) e
            union all
            -- A user may fill it where he could fill it so far.
            select 'authenticated'::regrole::oid, 'INSERT', false
            where has_table_privilege('authenticated', a.attrelid, 'insert')
        ) g
        where g.grantee = 0 or g.grantee in (
            'anon'::regrole, 'authenticated'::regrole, 'service_role'::regrole));

    foreach object in array ours loop
        continue when object <> all (made_anew);
        continue when case split_part(object, ' ', 1)
            when 'schema' then to_regnamespace(split_part(object, ' ', 2)) is null
            when 'function' then to_regprocedure(substr(object, 10)) is null
            else to_regclass(split_part(object, ' ', 2)) is null end;
        -- What they have passed on goes, too.
        execute format('revoke all on %s from public, anon, authenticated, service_role cascade',
            regexp_replace(object, '^function', 'routine'));
    end loop;
    if made_anew is null then
        foreach object in array kept loop
            execute object;
        end loop;
    end if;

    for held in
        select g.target, format('grant %s on %s to %s', g.privileges, g.target, g.roles) as command
        from (values
            -- The CRM's tables. Policies decide about rows.
            ('table public.users', 'select, update, delete', 'authenticated'),
            ('table public.agents', 'select, update, delete', 'authenticated'),
            ('table public.whatsapp_configuration', 'select, update, delete', 'authenticated'),
            ('table public.users', 'select, insert, update, delete', 'service_role'),
            ('table public.agents', 'select, insert, update, delete', 'service_role'),
            ('table public.whatsapp_configuration', 'select, insert, update, delete', 'service_role'),
            ('table public.businesses', 'select, update, delete', 'authenticated'),
            ('table public.user_businesses', 'select', 'authenticated'),
            ('table public.business_invitations', 'select, delete', 'authenticated'),
            ('table public.meta_apps', 'select, update, delete', 'authenticated'),
            ('table public.whatsapp_numbers', 'select, update, delete', 'authenticated'),
            ('table public.agent_states', 'select', 'authenticated, service_role'),
            ('table public.businesses', 'select, insert, update, delete', 'service_role'),
            ('table public.user_businesses', 'select, insert, update, delete', 'service_role'),
            ('table public.business_invitations', 'select, insert, update, delete', 'service_role'),
            ('table public.meta_apps', 'select, insert, update, delete', 'service_role'),
            ('table public.whatsapp_numbers', 'select, insert, update, delete', 'service_role'),
            ('sequence public.agents_id_seq', 'usage', 'authenticated, service_role'),
            ('sequence public.whatsapp_configuration_id_seq', 'usage', 'authenticated, service_role'),
            -- Show nobody more than the tables do: views with the caller's rights.
            ('table provisioning.displaced_tables', 'select', 'public'),
            ('table provisioning.job_waits', 'select', 'public'),
            -- The first of these views names what is free. A number is no secret.
            ('routine provisioning.free_name(text,bigint,bigint)', 'execute', 'public'),
            ('routine provisioning.prefix_lock_seed()', 'execute', 'public'),
            -- It shows whose a session is: `jobs list` asks it with the rights of whoever looks.
            ('routine provisioning.is_own_session(oid,text)', 'execute', 'public'),
            ('routine provisioning.worker_role()', 'execute', 'public'),
            -- The policies of all tables call these.
            ('routine provisioning.is_admin()', 'execute', 'authenticated'),
            ('routine provisioning.owned_agent(bigint)', 'execute', 'authenticated'),
            ('routine provisioning.staffed_agent(bigint)', 'execute', 'authenticated'),
            ('routine provisioning.my_agents()', 'execute', 'authenticated'),
            ('routine provisioning.my_businesses(text)', 'execute', 'authenticated'),
            ('routine provisioning.confirmed_email()', 'execute', 'authenticated'),
            -- The defaults of serial columns call it.
            ('routine provisioning.next_id(bigint,regclass,name)', 'execute', 'authenticated, service_role'),
            -- The API: the documented functions, and the definers behind them.
            ('routine public.create_agent(uuid,character varying,uuid,uuid)',
                'execute', 'authenticated, service_role'),
            ('routine public.create_whatsapp_config(uuid,character varying,text,text,character varying,character varying)',
                'execute', 'authenticated, service_role'),
            ('routine public.get_whatsapp_config(uuid)', 'execute', 'authenticated, service_role'),
            ('routine public.update_whatsapp_config(uuid,character varying,text,text,character varying,character varying,boolean,text)',
                'execute', 'authenticated, service_role'),
            ('routine public.delete_whatsapp_config(uuid)', 'execute', 'authenticated, service_role'),
            ('routine provisioning.update_agent_details(bigint,jsonb,jsonb,uuid)',
                'execute', 'authenticated, service_role'),
            ('routine public.update_agent_details(bigint,jsonb,jsonb,uuid)', 'execute', 'authenticated, service_role'),
            ('routine provisioning.delete_agent(bigint)', 'execute', 'authenticated, service_role'),
            ('routine public.delete_agent(bigint)', 'execute', 'authenticated, service_role'),
            ('routine provisioning.agent_status(bigint)', 'execute', 'authenticated, service_role'),
            ('routine public.agent_status(bigint)', 'execute', 'authenticated, service_role'),
            ('routine provisioning.agent_statuses()', 'execute', 'authenticated, service_role'),
            ('routine public.agent_statuses()', 'execute', 'authenticated, service_role'),
            ('routine provisioning.create_agent_tables(text,bigint)', 'execute', 'authenticated, service_role'),
            ('routine public.create_agent_tables(text,bigint)', 'execute', 'authenticated, service_role'),
            ('routine provisioning.drop_agent_tables(text)', 'execute', 'authenticated, service_role'),
            ('routine public.drop_agent_tables(text)', 'execute', 'authenticated, service_role'),
            ('routine provisioning.create_agent_indexes(text)', 'execute', 'authenticated, service_role'),
            ('routine public.create_agent_indexes(text)', 'execute', 'authenticated, service_role'),
            ('routine provisioning.create_business(text,text,uuid)', 'execute', 'authenticated, service_role'),
            ('routine public.create_business(text,text,uuid)', 'execute', 'authenticated, service_role'),
            ('routine provisioning.invite_member(uuid,text,uuid,text)', 'execute', 'authenticated, service_role'),
            ('routine provisioning.only_business()', 'execute', 'public'),
            ('routine provisioning.draw_prefix()', 'execute', 'public'),
            ('routine public.invite_member(uuid,text,uuid,text)', 'execute', 'authenticated, service_role'),
            ('routine provisioning.accept_invitation(uuid)', 'execute', 'authenticated, service_role'),
            ('routine public.accept_invitation(uuid)', 'execute', 'authenticated, service_role'),
            ('routine provisioning.change_member_role(uuid,uuid,text)', 'execute', 'authenticated, service_role'),
            ('routine public.change_member_role(uuid,uuid,text)', 'execute', 'authenticated, service_role'),
            ('routine provisioning.remove_member(uuid,uuid)', 'execute', 'authenticated, service_role'),
            ('routine public.remove_member(uuid,uuid)', 'execute', 'authenticated, service_role'),
            ('routine public.add_whatsapp_number(uuid,uuid,text,text,text,bigint)', 'execute', 'authenticated, service_role'),
            ('routine public.update_business_settings(uuid,jsonb)', 'execute', 'authenticated, service_role'),
            ('routine public.move_agent(bigint,uuid)', 'execute', 'authenticated, service_role'),
            ('routine provisioning.secret_status(uuid)', 'execute', 'authenticated, service_role'),
            ('routine public.secret_status(uuid)', 'execute', 'authenticated, service_role'),
            -- Ciphertexts are the backend's: it has the keys.
            ('routine provisioning.get_whatsapp_token(text)', 'execute', 'service_role'),
            ('routine public.get_whatsapp_token(text)', 'execute', 'service_role'),
            ('routine provisioning.get_meta_app_secrets(text)', 'execute', 'service_role'),
            ('routine public.get_meta_app_secrets(text)', 'execute', 'service_role'),
            -- It tells whose a number is.
            ('routine provisioning.route_message(text)', 'execute', 'service_role'),
            ('routine public.route_message(text)', 'execute', 'service_role')
        ) g (target, privileges, roles)
        union all
        -- All columns of ours, but not what the table fills itself: a user who chose the id that comes next would make
        -- somebody else's next INSERT fail. Only users.id is chosen: it is that of auth.users.
        select 'table ' || t.name, format('grant insert (%s) on table %s to authenticated',
            string_agg(quote_ident(a.attname), ', ' order by a.attnum), t.name)
        from (values
            ('public.users', array['id', 'email', 'name', 'role']),
            ('public.agents', array['agent_prefix', 'user_id', 'created_by', 'business_id']),
            ('public.meta_apps', array['business_id', 'app_id', 'name']),
            ('public.whatsapp_numbers', array[
                'business_id', 'meta_app_id', 'agent_id', 'phone_number_id', 'business_account_id', 'display_number',
                'is_active']),
            ('public.whatsapp_configuration', array[
                'user_id', 'whatsapp_number', 'api_key', 'webhook_url', 'phone_number_id', 'business_account_id',
                'is_active', 'verify_token', 'updated_at'])) t (name, columns)
        join pg_catalog.pg_attribute a on a.attrelid = t.name::regclass and a.attnum > 0 and not a.attisdropped
            and a.attname = any (t.columns)
        group by t.name
    loop
        -- A person makes a lost sequence again, and a repair may have had to leave a function.
        continue when held.target like 'sequence %' and to_regclass(substr(held.target, 10)) is null
            or held.target like 'routine %' and to_regprocedure(substr(held.target, 9)) is null;
        execute held.command;
    end loop;
end $$;
