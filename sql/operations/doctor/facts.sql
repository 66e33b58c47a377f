-- What `doctor` judges, in one row. Reads catalogs and our own tables only.
-- $1 tables the worker writes, $2 tables that it reads and writes by functions only
select
    current_setting('server_version_num')::int as server_version,
    current_setting('server_version') as server_version_name,
    current_user::text as role,
    coalesce((select s.ssl from pg_catalog.pg_stat_ssl s where s.pid = pg_backend_pid()), false) as encrypted,
    inet_server_addr() is null or inet_server_addr() <<= inet '127.0.0.0/8' as local,
    has_schema_privilege('public', 'create') as may_create,
    has_schema_privilege('provisioning_trash', 'usage')
        and has_schema_privilege('provisioning_trash', 'create')
        and (
            select bool_and(coalesce(has_function_privilege(to_regprocedure('provisioning.' || f), 'execute'), false))
            from unnest('{"note_keys(bigint, oid[])", "forget_keys(bigint)", "keys_off(bigint[])",
                          "validate_key(regclass, text)",
                          "trash_agent(bigint, double precision, double precision)",
                          "purge_due(double precision)", "purge_item(bigint, boolean)"}'::text[]) f
        ) as may_trash,
    (
        select bool_and(coalesce(has_function_privilege(to_regprocedure('provisioning.' || f), 'execute'), false))
        from unnest('{"claimable_jobs(text[], integer, integer)", "next_due(text[], integer)",
                      "claim(text[], integer, integer)", "register(bigint, text[], text[])",
                      "requeue_behind_former(bigint, bigint)", "living_agents(bigint[])",
                      "hold_agent(bigint, text)", "remove_agent(bigint, bigint)",
                      "settle(bigint, text, double precision)", "begin_deletion(bigint)", "cancel_earlier(bigint)",
                      "record_failure(bigint, integer, integer, text, double precision, double precision, boolean,
                      text, boolean, jsonb)", "is_free(bigint)", "enqueue(text, bigint[], boolean, integer, text, text, smallint, text[])",
                      "reconcile()", "replay(bigint[], text, text[], text, text, boolean, boolean)",
                      "cancel(bigint[], text, text, boolean)", "end_blocked(bigint)",
                      "prune(double precision, bigint, bigint, boolean)",
                      "start_rollout(bigint[], integer, text, integer, integer, integer, text, text)",
                      "change_rollout(bigint, text, text, text)", "advance_rollouts()", "begin_repair(bigint)",
                      "enter_agent(bigint, integer, text)"}'::text[]) f
    ) as may_claim,
    (
        select bool_and(coalesce(has_function_privilege(to_regprocedure('provisioning.' || f), 'execute'), false))
        from unnest('{"notify(text, text, double precision)", "end_clock_waits()",
                      "show_instance(bigint, text, integer, text, jsonb, jsonb, text, text)",
                      "differing_instances(bigint, jsonb)", "is_current(timestamptz)"}'::text[]) f
    ) as may_notify,
    has_table_privilege('public.agents', 'select')
        and (has_any_column_privilege('public.agents', 'references') or (
            select bool_and(coalesce(has_function_privilege(to_regprocedure('provisioning.' || f), 'execute'), false))
            from unnest('{refer_to_agents(jsonb),make_key(jsonb),add_key(jsonb)}'::text[]) f)) as may_use_agents,
    array(
        select t from unnest($2::text[] || $1::text[]) with ordinality n (t, place)
        where not has_table_privilege(t, 'select')
           or t = any ($1) and (not has_table_privilege(t, 'insert')
                                or not has_table_privilege(t, 'update') or not has_table_privilege(t, 'delete'))
           or (row_security_active(t) and not exists (
                  select from pg_catalog.pg_policy p
                  where p.polrelid = t::regclass
                    and exists (select from unnest(p.polroles) r where pg_has_role(r, 'usage'))))
        order by place
    ) as unusable,
    -- What the worker's role may do besides, and so could whoever knows its password. Not where it owns the schema.
    array(
        select format('%s on %s', string_agg(r.privilege, ', ' order by r.place), r.relation)
        from pg_catalog.pg_class c
        join pg_catalog.pg_roles w on w.oid = provisioning.worker_role() and not pg_has_role(w.oid, c.relowner, 'usage')
        cross join (
            select t.relation, v.privilege, v.place
            from unnest($2::text[] || '{public.agents,public.whatsapp_configuration,provisioning.moves}'::text[]) t (relation)
            cross join unnest('{insert,update,delete,truncate}'::text[]) with ordinality v (privilege, place)
            union all
            select 'public.agents', 'references', 5
        ) r
        where c.oid = 'provisioning.jobs'::regclass
          and case
              when r.privilege = 'update' and r.relation = 'provisioning.agents'
                  then has_column_privilege(w.oid, r.relation, 'agent_id', 'update')
              when r.privilege = 'update' and r.relation = 'public.agents'
                  then has_column_privilege(w.oid, r.relation, 'user_id', 'update')
              when r.privilege in ('insert', 'update', 'references') then has_any_column_privilege(w.oid, r.relation, r.privilege)
              else has_table_privilege(w.oid, r.relation, r.privilege)
          end
        group by r.relation
        order by r.relation
    ) as excessive,
    -- As the first migration looks for them: a trigger may leave the work to functions that it calls.
    array(
        with recursive called as (
            select t.tgname, t.tgfoid as oid
            from pg_catalog.pg_trigger t
            where t.tgrelid = 'public.agents'::regclass and not t.tgisinternal and t.tgenabled <> 'D'
            union
            select c.tgname, p.oid
            from called c
            join pg_catalog.pg_proc f on f.oid = c.oid
            cross join lateral regexp_matches(f.prosrc, '([[:alnum:]_]+)"?[[:space:]]*[(]', 'g') m (words)
            join pg_catalog.pg_proc p on p.proname = any (array[m.words[1], lower(m.words[1] collate "C")])
                and p.pronamespace <> 'pg_catalog'::regnamespace
        )
        select distinct quote_ident(c.tgname)
        from called c join pg_catalog.pg_proc p on p.oid = c.oid
        where p.prosrc collate "C" ~* '(create|drop)_agent_tables|(create|drop)[[:space:]]+table'
    ) as old_triggers,
    array(
        select p.oid::regprocedure::text from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.prokind in ('f', 'p')
          and p.prosrc collate "C" ~* 'create[[:space:]]+table'
          -- What an event trigger calls builds no agent's tables by itself.
          and p.prorettype <> 'pg_catalog.event_trigger'::regtype
    ) as old_functions,
    current_setting('max_locks_per_transaction')::bigint
        * (current_setting('max_connections')::int
           + current_setting('max_prepared_transactions')::int) as lock_slots,
    (select extract(epoch from s.setting::int * interval '1 ms') * 1000
     from pg_catalog.pg_settings s where s.name = 'deadlock_timeout')::float8 as deadlock_timeout_ms,
    (select count(*) from provisioning.agents a where a.reference = 'foreign_key') as keyed_agents,
    (select count(*) from provisioning.jobs j where j.state = 'dead') as dead_jobs,
    (select count(*) from provisioning.jobs j where j.state = 'pending' and j.last_sqlstate = '53100') as disk_full_jobs,
    (select count(*) from provisioning.jobs j where j.state = 'paused') as paused_jobs,
    (select count(*) from provisioning.jobs j where j.state = 'paused' and j.unreported) as paused_unreported,
    exists (select from pg_catalog.pg_event_trigger e where e.evtname = 'pgrst_ddl_watch') as pgrst,
    pg_notification_queue_usage() as notification_queue
