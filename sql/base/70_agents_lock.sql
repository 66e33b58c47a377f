-- Locks on the tables that all agents share, asked for so that nobody stands still because of them.
--
-- A session that waits for a lock makes everybody who comes after it and conflicts with it wait, too. A worker
-- that waits for `agents` behind a report holds up every query of every tenant. So a worker asks without
-- waiting first. It waits for some milliseconds only, one worker of the whole fleet at a time. After a wait,
-- nobody waits again for 60 times as long: all waits together take less than 2 % of the time.
--
-- A mode is 'share row exclusive' (writers hold it up: a new foreign key) or 'access exclusive' (readers hold
-- it up, too: a foreign key that goes). Each has its own pace, so a long report does not delay new agents.

-- The pace of a mode. While waits are in vain, the gap between two of them grows to a quarter of the time
-- since the first one, and at most to a minute. The waits grow with it, up to half a second: readers
-- that come one after the other without a pause cannot starve a job.
create or replace function provisioning.lock_pace(
    mode text,
    out since timestamptz,      -- the first of the waits in vain; null: there is none
    out last timestamptz,       -- the last of them
    out turn timestamptz,       -- a job that wants the lock does not begin before
    out budget timestamptz,     -- nobody waits before
    out wait integer            -- how long a worker may wait, in milliseconds
)
    language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    at   constant timestamptz := clock_timestamp();
    kind constant text := case mode when 'share row exclusive' then 'writers'
                                    when 'access exclusive' then 'all' end;
    gap  interval;
begin
    select to_timestamp(coalesce(pg_sequence_last_value('provisioning.lock_budget'), 0) / 1e6),
        to_timestamp(nullif(pg_sequence_last_value(format('provisioning.lock_%s_since', kind)::regclass), 0) / 1e6),
        to_timestamp(coalesce(pg_sequence_last_value(format('provisioning.lock_%s_last', kind)::regclass), 0) / 1e6)
    into budget, since, last;
    gap := least(interval '1 minute', greatest(interval '900 ms', (last - since) / 4));
    -- The clock was set back, or whoever waited has given up long ago.
    if last > at or last + 2 * gap + interval '10 s' < at then
        since := null;
    end if;
    if budget > at + interval '1 minute' then
        budget := '-infinity';
    end if;
    turn := case when since is null then '-infinity' else greatest(last + gap, budget) end;
    wait := least(500, greatest(15, extract(epoch from at - coalesce(since, at)) * 1000 / 240));
end $$;

-- For a job that is going to want the lock: fails where it would not get it, before there is work to undo.
create or replace function provisioning.require_lock_turn(mode text) returns void
    language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    pace record := provisioning.lock_pace(mode);
begin
    if clock_timestamp() < pace.turn then
        raise exception 'others use the tables that all agents share'
            using errcode = 'lock_not_available', constraint = 'turned_away', datatype = mode,
                  detail = format('Workers wait in vain since %s.', pace.since);
    end if;
end $$;

-- Locks tables that the caller may refer to by a foreign key, or has one to that goes: either takes the same lock. A
-- definer, because LOCK TABLE asks for other privileges. A table that its owner keeps from us is left to the foreign key.
create or replace function provisioning.lock_referenced(tables regclass[], mode text, no_wait boolean) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    caller constant name := coalesce(nullif(current_setting('role'), 'none'), session_user);
    names  text;
begin
    select string_agg(format('%I.%I', n.nspname, c.relname), ', ' order by c.oid) into names
    from unnest(tables) t
    join pg_class c on c.oid = t and c.relkind in ('r', 'p')
    join pg_namespace n on n.oid = c.relnamespace
    where (has_any_column_privilege(caller, t, 'references')
           or t = 'public.agents'::regclass
              and has_function_privilege(caller, 'provisioning.refer_to_agents(jsonb)', 'execute')
           or exists (
            select from pg_constraint k join pg_class o on o.oid = k.conrelid
            where k.confrelid = t and k.contype = 'f' and pg_has_role(caller, o.relowner, 'usage')))
      and (has_table_privilege(t, 'update') or has_table_privilege(t, 'delete')
           or has_table_privilege(t, 'truncate'));
    if names is not null then
        execute format('lock table %s in %s mode %s', names,
            case mode when 'access exclusive' then 'access exclusive' else 'share row exclusive' end,
            case when no_wait then 'nowait' end);
    end if;
end $$;

-- Locks tables that all agents share until the transaction ends, and then tables of one agent, for which
-- everybody would wait behind the first. Comes right before the statement that needs them. Fails with
-- 55P03 where it cannot have them. The error's data type is the mode, its constraint says how far it came:
--   turned_away  nobody was held up: others ask, or have waited a moment ago
--   waited       it waited in vain
-- tables: names, qualified and quoted, also of a schema that the caller may not use. Those that do not exist,
--   those that the caller may not refer to, and those of agents are left out.
-- own: names of the agent's tables
create or replace function provisioning.lock_shared(
    mode text, tables text[] default '{public.agents}', own text[] default '{}'
) returns void
    language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    before constant text := current_setting('lock_timeout');
    shared constant regclass[] := array(
        select distinct c.oid::regclass
        from unnest(tables) t
        join pg_namespace n on n.nspname = (parse_ident(t))[1]
        join pg_class c on c.relnamespace = n.oid and c.relname = (parse_ident(t))[2]
        where not exists (select from provisioning.agent_tables a where a.relation = c.oid));
    owned  constant text := (
        select string_agg(c.oid::regclass::text, ', ')
        from unnest(own) t
        join pg_namespace n on n.nspname = (parse_ident(t))[1]
        join pg_class c on c.relnamespace = n.oid and c.relname = (parse_ident(t))[2]);
    names  constant text := concat_ws(', ', nullif(array_to_string(shared, ', '), ''), owned);
    strong constant boolean := mode = 'access exclusive';
    kind   constant text := case when strong then 'all' else 'writers' end;
    first  constant regclass := format('provisioning.lock_%s_since', kind);
    pace   record;
    asked  timestamptz;
    ended  timestamptz;
    waits  boolean := false;
    looks  integer := 0;        -- in vain, without waiting
begin
    begin
        lock table provisioning.lock_gate in exclusive mode;
    exception when lock_not_available then
        raise exception 'other workers ask for the tables that all agents share'
            using errcode = 'lock_not_available', constraint = 'turned_away', datatype = mode;
    end;
    loop
        asked := clock_timestamp();
        begin
            if waits then
                perform set_config('lock_timeout', pace.wait || 'ms', true);
            end if;
            perform provisioning.lock_referenced(shared, mode, not waits);
            if owned is not null then
                if waits then
                    perform set_config('lock_timeout', greatest(1, pace.wait
                        - floor(extract(epoch from clock_timestamp() - asked) * 1000)::integer) || 'ms', true);
                end if;
                execute format('lock table %s in %s mode %s', owned,
                    case when strong then 'access exclusive' else 'share row exclusive' end,
                    case when not waits then 'nowait' end);
            end if;
            ended := clock_timestamp();
            exit;
        exception when lock_not_available then
            ended := clock_timestamp();
            if waits then
                perform provisioning.pause_lock_waits(ended - asked);
                perform setval(first, (extract(epoch from coalesce(pace.since, asked)) * 1000000)::bigint);
                perform setval(format('provisioning.lock_%s_last', kind)::regclass,
                    (extract(epoch from ended) * 1000000)::bigint);
                raise exception 'others use %', names
                    using errcode = 'lock_not_available', constraint = 'waited', datatype = mode,
                          detail = format('Waited %s ms.', pace.wait);
            end if;
            -- The last worker's locks, and those of short statements, are free within milliseconds. To look
            -- again holds up nobody.
            if looks < 5 then
                looks := looks + 1;
                perform pg_sleep(0.002);
                continue;
            end if;
            pace := provisioning.lock_pace(mode);
            if ended < pace.turn or ended < pace.budget then
                raise exception 'others use %', names
                    using errcode = 'lock_not_available', constraint = 'turned_away', datatype = mode;
            end if;
        end;
        waits := true;
        -- To wait longer for somebody who was there at the last wait helps nobody.
        if pace.wait > 15 and exists (select from provisioning.lock_holders() h
                                      where h.agent_id is null and (strong or h.writers)
                                        and h.seconds > extract(epoch from asked - pace.last)) then
            pace.wait := 15;
        end if;
    end loop;
    perform set_config('lock_timeout', before, true);
    -- A worker that is frozen from now on, with its machine or its network, keeps these locks no longer than that.
    if shared <> '{}' then
        perform set_config('idle_in_transaction_session_timeout', '2s', true);
    end if;
    if waits and ended - asked > interval '5 ms' then
        perform provisioning.pause_lock_waits(ended - asked);
    end if;
    if pg_sequence_last_value(first) > 0 then
        perform setval(first, 0);
    end if;
    perform provisioning.free_lock_waiters(strong);
end $$;

-- After a wait nobody waits for 60 times as long.
create or replace function provisioning.pause_lock_waits(waited interval) returns void
    language sql set search_path = pg_catalog, pg_temp as $$
    select setval('provisioning.lock_budget',
        (extract(epoch from clock_timestamp() + 60 * waited) * 1000000)::bigint)
$$;

-- An agent as provisioning.living_agents has it, for a transaction that is going to wait for its turn at a lock on
-- agents. Leaves no lock on agents behind, or the worker whose turn it is would wait for this one.
create or replace function provisioning.peek_agent(agent bigint)
returns table (id bigint, agent_prefix text, user_id uuid)
    language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    found_agent record;
begin
    begin
        select a.id, a.agent_prefix, a.user_id into found_agent from provisioning.living_agents(array[agent]) a;
        raise sqlstate 'PV001';     -- rolls back what has locked; variables stay
    exception when sqlstate 'PV001' then
        null;
    end;
    if found_agent.id is not null then
        return query select found_agent.id, found_agent.agent_prefix, found_agent.user_id;
    end if;
end $$;

-- Makes jobs due that wait for a lock which is free again: some, and each of them makes others due.
create or replace function provisioning.free_lock_waiters(strong boolean) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
declare
    wanted constant text[] := case when strong then '{share row exclusive,access exclusive}'
                                   else '{share row exclusive}' end;
begin
    -- Mostly there are none. An update would lock the table of jobs even so.
    if not exists (select from provisioning.jobs j
                   where j.state = 'pending' and j.run_at > clock_timestamp() and j.lock_wanted = any (wanted)) then
        return;
    end if;
    with freed as materialized (
        select j.id from provisioning.jobs j
        where j.state = 'pending' and j.run_at > clock_timestamp() and j.lock_wanted = any (wanted)
        order by j.run_at
        limit 20
        for update skip locked
    )
    update provisioning.jobs j set run_at = clock_timestamp() from freed f where j.id = f.id;
    if found then
        perform provisioning.notify('agent_provisioning');
    end if;
end $$;

-- When a job that did not get its lock is tried again. The one that waited in vain is the next one to try,
-- and makes others due when it gets through. Those come by themselves too, but seldom: no more than five a
-- second, however many there are.
create or replace function provisioning.lock_run_at(mode text, waited boolean) returns timestamptz
    language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    pace record := provisioning.lock_pace(mode);
    free constant timestamptz := greatest(clock_timestamp(), pace.turn, pace.budget);
    jobs bigint;
begin
    if waited then
        return free;
    end if;
    select count(*) into jobs from provisioning.jobs j where j.state = 'pending' and j.lock_wanted = mode;
    if pace.since is null then      -- nobody stays: it is soon free
        return free + random() * least(interval '5 s', (jobs + 5) * interval '100 ms');
    end if;
    return free + random() * least(interval '5 minutes', greatest(interval '5 s', jobs * interval '200 ms'));
end $$;

-- Whether a session is one of this program's. Anybody may give his session its name, so the role counts, too:
-- it is the worker's, or has the rights of the owner of the queue.
create or replace function provisioning.is_own_session(role oid, application text) returns boolean
    language sql stable set search_path = pg_catalog, pg_temp as $$
    select application ^@ 'agent-provisioner' and (
        pg_has_role(is_own_session.role, c.relowner, 'usage')
        or is_own_session.role = provisioning.worker_role())
    from pg_class c where c.oid = 'provisioning.jobs'::regclass
$$;

-- Who holds a lock, and the statement that ends it: a session that is none of ours, or a prepared transaction.
create or replace function provisioning.lock_holder(pid integer, virtualtransaction text)
returns table (pid integer, role text, application text, state text, seconds double precision, way_out text)
    language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce(b.leader_pid, b.pid), b.usename::text,
        case when b.backend_type = 'client backend' then b.application_name else b.backend_type end, b.state,
        extract(epoch from clock_timestamp() - b.xact_start)::float8,
        format('select pg_terminate_backend(%s)', coalesce(b.leader_pid, b.pid))
    from pg_stat_activity b
    where b.pid = $1
      and provisioning.is_own_session(b.usesysid, b.application_name) is distinct from true
    union all
    select null, x.owner::text, x.gid, 'prepared', extract(epoch from clock_timestamp() - x.prepared)::float8,
        format('rollback prepared %L', x.gid)
    from pg_prepared_xacts x
    join pg_locks t on t.locktype = 'transactionid' and t.pid is null and t.transactionid = x.transaction
    where $1 is null and t.virtualtransaction = $2
$$;

-- The sessions that hold up jobs: those with a lock that conflicts with what a job waits for, or would wait for,
-- the oldest transaction first. A session that waits for such a lock is one, too. And those that have the
-- advisory lock of a prefix with a pending job, or the row of an open job; or that keep workers from writing to a table of
-- this schema, which holds up every job. Without our own workers, which give way by themselves.
-- A definer, since a session shows its state to its own role only.
create or replace function provisioning.lock_holders()
returns table (
    pid integer,                -- null: a prepared transaction
    role text, application text, state text,
    seconds double precision,   -- the age of its transaction
    relation text,              -- a table that it has locked, or in which it has a row locked; null: none
    prefix text,                -- the prefix that it has locked, or the row of whose job; null: none
    agent_id bigint,            -- whose table that is; null: all agents share it
    writers boolean,            -- whether it holds up 'share row exclusive', too
    rows boolean,               -- whether it holds up who deletes a row, too
    way_out text                -- the statement that ends it
)
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    here constant oid := (select d.oid from pg_database d where d.datname = current_database());
begin
    return query
    select s.pid, s.role, s.application, s.state, s.seconds, min(l.relation::regclass::text), null, null::bigint, true, true,
        s.way_out
    from pg_locks l
    join pg_class c on c.oid = l.relation and c.relkind = 'r' and c.relnamespace = 'provisioning'::regnamespace
        and c.relname not in ('lock_gate', 'sweep_gate', 'limit_gate')
    cross join lateral provisioning.lock_holder(l.pid, l.virtualtransaction) s
    where l.locktype = 'relation' and l.database = here and l.pid is distinct from pg_backend_pid()
      and l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
      and s.application is distinct from 'autovacuum worker'    -- which gives way by itself
    group by s.pid, s.role, s.application, s.state, s.seconds, s.way_out
    order by s.seconds desc nulls last, s.pid;
    -- To read on would be to wait for one of them.
    if found and exists (
        select from pg_locks l
        where l.locktype = 'relation' and l.database = here and l.pid is distinct from pg_backend_pid()
          and l.mode = 'AccessExclusiveLock'
          and l.relation in ('provisioning.jobs'::regclass, 'provisioning.agent_tables'::regclass))
    then
        return;
    end if;

    return query
    select s.pid, s.role, s.application, s.state, s.seconds, h.relation, h.agent_prefix, null::bigint, true, true, s.way_out
    from (
        select l.pid, l.virtualtransaction, null as relation, j.agent_prefix
        from pg_locks l
        join provisioning.jobs j
            on j.state = 'pending'
            and hashtextextended(j.agent_prefix, provisioning.prefix_lock_seed()) = (l.classid::bigint << 32) | l.objid::bigint
        where l.locktype = 'advisory' and l.objsubid = 1 and l.granted and l.pid is distinct from pg_backend_pid()
          and l.database = here
        union
        -- Who has a row locked has written his transaction into it.
        select l.pid, l.virtualtransaction, 'provisioning.jobs', j.agent_prefix
        from provisioning.jobs j
        join pg_locks l on l.locktype = 'transactionid' and l.granted and l.transactionid = j.xmax
        where j.state in ('pending', 'dead', 'paused') and l.pid is distinct from pg_backend_pid()
    ) h
    cross join lateral provisioning.lock_holder(h.pid, h.virtualtransaction) s
    order by s.seconds desc nulls last, s.pid;

    if not exists (select from provisioning.jobs j where j.state = 'pending' and j.lock_wanted is not null) then
        return;
    end if;
    return query
    with waiting as materialized (
        select distinct j.agent_id, j.lock_wanted from provisioning.jobs j
        where j.state = 'pending' and j.lock_wanted is not null
    ), held as materialized (
        select l.pid, l.virtualtransaction, l.relation, a.agent_id,
            l.mode not in ('AccessShareLock', 'RowShareLock') as writers,
            l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock') as rows
        from pg_locks l
        left join provisioning.agent_tables a on a.relation = l.relation
        where l.locktype = 'relation' and l.pid is distinct from pg_backend_pid()
          and l.database = here
          and case
              when a.agent_id is not null then exists (select from waiting w where w.agent_id = a.agent_id)
              when l.relation = 'provisioning.lock_gate'::regclass then l.mode <> 'AccessShareLock'
              else l.relation = 'public.agents'::regclass or exists (
                  select from pg_trigger t join provisioning.agent_tables r on r.relation = t.tgconstrrelid
                  where t.tgrelid = l.relation)
          end
    )
    select s.pid, s.role, s.application, s.state, s.seconds, min(h.relation::regclass::text), null, h.agent_id,
        bool_or(h.writers), bool_or(h.rows), s.way_out
    from held h
    cross join lateral provisioning.lock_holder(h.pid, h.virtualtransaction) s
    where h.agent_id is not null
       or exists (select from waiting w where w.lock_wanted = 'access exclusive')
       or h.writers and exists (select from waiting w where w.lock_wanted = 'share row exclusive')
       or h.rows and exists (select from waiting w where w.lock_wanted = 'own tables')
    group by s.pid, s.role, s.application, s.state, s.seconds, s.way_out, h.agent_id
    order by s.seconds desc nulls last, s.pid;

    -- Who has deleted, changed or locked the row of an agent. Not while somebody has the table for himself: he is found above.
    if not exists (
        select from pg_locks l
        where l.locktype = 'relation' and l.relation = 'public.agents'::regclass and l.mode = 'AccessExclusiveLock'
          and l.database = here)
    then
        return query
        select s.pid, s.role, s.application, s.state, s.seconds, 'public.agents', null, a.id, false, true, s.way_out
        from (select distinct j.agent_id from provisioning.jobs j
              where j.state = 'pending' and j.lock_wanted = 'own tables') w
        join public.agents a on a.id = w.agent_id
        join pg_locks l on l.locktype = 'transactionid' and l.granted and l.transactionid = a.xmax
            and l.pid is distinct from pg_backend_pid()
        cross join lateral provisioning.lock_holder(l.pid, l.virtualtransaction) s
        order by s.seconds desc nulls last, s.pid;
    end if;
end $$;
