-- Agents that are moved to another database, or come from one. `agents move` calls these functions as the owner of the schema, and
-- nobody else may. src/provisioning/moving/mod.rs has the states.
--
-- Both databases cannot commit at once. So there is one moment that decides: the commit of provisioning.hand_over. Before it
-- the tables here are open and the copy there is out of reach. After it every write here is refused, whatever becomes of the other side.

-- Refuses every write to a table of an agent that another database has. Not by privileges: an owner and a superuser write past
-- those. PostgREST answers 421 for this code. The argument is the name of that database.
create or replace function provisioning.refuse_moved() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception 'this agent is in database "%" now', tg_argv[0]
        using errcode = 'PT421', hint = 'Ask that database. Nothing was written here.';
end $$;

-- Whether the tables of an item of the trash were closed because another database has the agent.
create or replace function provisioning.is_moved_item(item bigint) returns boolean
    language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (
        select from provisioning.trash_relations r
        join pg_catalog.pg_class c on c.oid = to_regclass(format('provisioning_trash.%I', r.trash_name))
        join pg_catalog.pg_trigger g on g.tgrelid = c.oid and g.tgname = 'moved_away'
        where r.trash_id = item and r.kind = 'table')
$$;

-- Whether a job is the deletion that waits for the end of a move. `agents move` alone approves or cancels it.
create or replace function provisioning.is_held_by_move(job bigint) returns boolean
    language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (
        select from provisioning.moves m
        where m.job = is_held_by_move.job and m.state = 'handed_over'
          and m.id::text is distinct from current_setting('provisioning.move', true))
$$;

-- A move that is under way, locked until the transaction ends. Fails where it is in another state.
create or replace function provisioning.lock_move(move uuid, states text[]) returns provisioning.moves
    language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    found_move provisioning.moves;
begin
    select m.* into found_move from provisioning.moves m where m.id = lock_move.move for update;
    if not found then
        raise exception 'there is no move %', move using errcode = 'no_data_found';
    elsif found_move.state <> all (states) then
        raise exception 'the move is %', found_move.state using errcode = 'object_not_in_prerequisite_state';
    end if;
    return found_move;
end $$;

-- Source: the hand-over. Closes the tables, which the caller has locked, switches off what leads messages to the agent, and
-- queues the deletion of the tables here. It waits for approval: the other side has to say first that it goes on.
create or replace function provisioning.hand_over(move uuid, copy uuid, row_count bigint, who text) returns bigint
    language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    leaving  constant provisioning.moves := provisioning.lock_move(move, '{begun}');
    owner    constant uuid := (select a.user_id from public.agents a where a.id = leaving.agent_id);
    closed   text;
    numbers  uuid[];
    active   boolean;
    deletion bigint;
begin
    for closed in
        select format('create or replace trigger moved_away before insert or update or delete or truncate on %I.%I '
            'for each statement execute function provisioning.refuse_moved(%L)', n.nspname, c.relname, leaving.peer)
        from provisioning.agent_tables t
        join pg_catalog.pg_class c on c.oid = t.relation and c.relname = t.table_name
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where t.agent_id = leaving.agent_id
        order by c.oid
    loop
        execute closed;
    end loop;
    with off as (
        update public.whatsapp_numbers w set is_active = false
        where w.agent_id = leaving.agent_id and w.is_active
        returning w.id
    )
    select coalesce(array_agg(o.id), '{}') into numbers from off o;
    update public.whatsapp_configuration w set is_active = false where w.user_id = owner and w.is_active;
    active := found;
    insert into provisioning.jobs (
        kind, agent_id, agent_prefix, user_id, state, finished_at, last_error_code, last_error, requested_by)
    values ('deprovision', leaving.agent_id, leaving.agent_prefix, owner, 'paused', clock_timestamp(), 'agent_moving',
        format('the agent is on its way to database "%s"', leaving.peer), provisioning.requester(who))
    returning id into deletion;
    update provisioning.moves m
    set state = 'handed_over', copy = hand_over.copy, row_count = hand_over.row_count, job = deletion,
        handed_over_at = clock_timestamp(),
        carried = jsonb_build_object('numbers', to_jsonb(numbers), 'whatsapp', active)
    where m.id = leaving.id;
    return deletion;
end $$;

-- Source: takes a move back that the other side has given up. What was closed is open again.
create or replace function provisioning.take_back(move uuid) returns void
    language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    leaving constant provisioning.moves := provisioning.lock_move(move, '{begun,handed_over}');
    opened  text;
begin
    for opened in
        select format('drop trigger moved_away on %I.%I', n.nspname, c.relname)
        from provisioning.agent_tables t
        join pg_catalog.pg_class c on c.oid = t.relation and c.relname = t.table_name
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        join pg_catalog.pg_trigger g on g.tgrelid = c.oid and g.tgname = 'moved_away'
        where t.agent_id = leaving.agent_id and leaving.state = 'handed_over'
        order by c.oid
    loop
        execute opened;
    end loop;
    update public.whatsapp_numbers w set is_active = true
    where w.agent_id = leaving.agent_id
      and w.id in (select n.id::uuid from jsonb_array_elements_text(leaving.carried -> 'numbers') n (id));
    update public.whatsapp_configuration w set is_active = true
    from public.agents a
    where a.id = leaving.agent_id and w.user_id = a.user_id and (leaving.carried ->> 'whatsapp')::boolean;
    update provisioning.jobs j set state = 'cancelled', finished_at = clock_timestamp(), outcome = 'cancelled: the move was given up'
    where j.id = leaving.job and j.state = 'paused';
    if leaving.job is not null and not found then
        raise exception 'job %, which deletes the agent here, is not paused any more', leaving.job
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'Its tables are in the trash, or go there. See: agent-provisioner agents trash';
    end if;
    update provisioning.moves m set state = 'aborted', ended_at = clock_timestamp(), carried = null where m.id = leaving.id;
end $$;

-- Target: notes what this transaction has built for a move, and takes it out of everybody's reach until it is used.
-- tables, types: their names in schema public
create or replace function provisioning.note_built(move uuid, tables text[], types text[], carried jsonb) returns void
    language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    coming constant provisioning.moves := provisioning.lock_move(note_built.move, '{begun,copied}');
    built_tables constant oid[] := array(
        select c.oid from pg_catalog.pg_class c
        where c.relname = any (note_built.tables) and c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
          and provisioning.made_here('pg_catalog.pg_class'::regclass, c.oid)
        order by c.oid);
    built_types constant oid[] := array(
        select y.oid from pg_catalog.pg_type y
        where y.typname = any (note_built.types) and y.typnamespace = 'public'::regnamespace and y.typtype = 'e'
          and provisioning.made_here('pg_catalog.pg_type'::regclass, y.oid)
        order by y.oid);
    entries jsonb;
    statement text;
begin
    if cardinality(built_tables) <> cardinality(note_built.tables) then
        raise exception 'the templates made % of % tables', cardinality(built_tables), cardinality(note_built.tables)
            using errcode = 'object_not_in_prerequisite_state';
    end if;
    select coalesce(jsonb_agg(g.entry order by g.revoke), '[]') into entries from provisioning.grants_on(built_tables) g;
    for statement in select distinct g.revoke from provisioning.grants_on(built_tables) g order by 1 loop
        execute statement;
    end loop;
    update provisioning.moves m
    set tables = built_tables::regclass[], types = built_types::regtype[], restore_actions = entries,
        table_names = array(select c.relname::text from unnest(built_tables) with ordinality u (oid, place)
                            join pg_catalog.pg_class c on c.oid = u.oid order by u.place),
        type_names = array(select y.typname::text from unnest(built_types) with ordinality u (oid, place)
                           join pg_catalog.pg_type y on y.oid = u.oid order by u.place),
        state = 'begun', copy = null, row_count = null, carried = note_built.carried
    where m.id = coming.id;
end $$;

-- Target: drops what was built for a move and is not used.
create or replace function provisioning.drop_built(move uuid) returns void
    language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    coming constant provisioning.moves := provisioning.lock_move(move, '{begun,copied}');
    names  text;
begin
    select string_agg(format('%I.%I', n.nspname, c.relname), ', ' order by c.oid) into names
    from unnest(coming.tables, coming.table_names) u (relation, name)
    join pg_catalog.pg_class c on c.oid = u.relation and c.relname = u.name
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace;
    if names is not null then
        execute 'drop table ' || names;
    end if;
    select string_agg(format('%I.%I', n.nspname, y.typname), ', ' order by y.oid) into names
    from unnest(coming.types, coming.type_names) u (type, name)
    join pg_catalog.pg_type y on y.oid = u.type and y.typname = u.name
    join pg_catalog.pg_namespace n on n.oid = y.typnamespace;
    if names is not null then
        execute 'drop type ' || names;
    end if;
    update provisioning.moves m
    set tables = '{}', table_names = '{}', types = '{}', type_names = '{}', restore_actions = '[]', state = 'begun', copy = null,
        row_count = null, carried = null
    where m.id = coming.id;
end $$;

-- Target: the agent is here from now on. Its row, its registration and its numbers come in, and its tables are within reach.
-- Its tables have no foreign key to agents.
create or replace function provisioning.take_over(move uuid, copy uuid) returns void
    language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    coming constant provisioning.moves := provisioning.lock_move(take_over.move, '{copied}');
    agent  constant jsonb := coming.carried -> 'agent';
    business constant uuid := (agent ->> 'business_id')::uuid;
    entry  jsonb;
    taken  bigint;
begin
    if coming.copy is distinct from take_over.copy then
        raise exception 'the rows here are not those that were handed over' using errcode = 'object_not_in_prerequisite_state';
    end if;
    perform set_config('provisioning.move', coming.id::text, true);
    insert into public.agents (id, agent_prefix, created_at, user_id, created_by, business_id)
    values (coming.agent_id, coming.agent_prefix, (agent ->> 'created_at')::timestamptz, (agent ->> 'user_id')::uuid,
        (agent ->> 'created_by')::uuid, business);
    insert into provisioning.agents (agent_id, agent_prefix, user_id, template_version, reference)
    select a.id, a.agent_prefix, a.user_id, (coming.carried ->> 'template_version')::integer, 'check'
    from public.agents a where a.id = coming.agent_id;
    insert into provisioning.agent_tables (relation, agent_id, table_name)
    select c.oid::regclass, p.agent_id, c.relname
    from provisioning.agents p, unnest(coming.tables, coming.table_names) u (relation, name)
    join pg_catalog.pg_class c on c.oid = u.relation and c.relname = u.name
    where p.agent_id = coming.agent_id;
    get diagnostics taken = row_count;
    if taken <> cardinality(coming.tables) or taken = 0 then
        raise exception 'the registry took % of % tables', taken, cardinality(coming.tables)
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'Look for a rule or a trigger on public.agents or on a table of schema provisioning.';
    end if;
    insert into provisioning.agent_types (type, agent_id, type_name)
    select y.oid::regtype, coming.agent_id, y.typname
    from unnest(coming.types, coming.type_names) u (type, name)
    join pg_catalog.pg_type y on y.oid = u.type and y.typname = u.name;
    -- The row's own INSERT has queued it: what it was to do is done.
    update provisioning.jobs j set state = 'succeeded', outcome = 'provisioned', finished_at = clock_timestamp(), duration = '0'
    where j.agent_id = coming.agent_id and j.kind = 'provision' and j.state = 'pending';

    insert into public.whatsapp_numbers as w (
        id, business_id, meta_app_id, agent_id, phone_number_id, business_account_id, display_number, is_active, created_at)
    select (n.number ->> 'id')::uuid, business, m.id, coming.agent_id, n.number ->> 'phone_number_id',
        n.number ->> 'business_account_id', n.number ->> 'display_number', (n.number ->> 'is_active')::boolean,
        (n.number ->> 'created_at')::timestamptz
    from jsonb_array_elements(coming.carried -> 'numbers') n (number)
    join public.meta_apps m on m.app_id = n.number ->> 'app_id'
    on conflict (id) do update
    set agent_id = excluded.agent_id, business_id = excluded.business_id, business_account_id = excluded.business_account_id,
        display_number = excluded.display_number, is_active = excluded.is_active
    where w.agent_id is null;
    get diagnostics taken = row_count;
    if taken <> jsonb_array_length(coming.carried -> 'numbers') then
        raise exception '% of % numbers came along', taken, jsonb_array_length(coming.carried -> 'numbers')
            using errcode = 'object_not_in_prerequisite_state', hint = 'Somebody uses a number of the agent in this database.';
    end if;
    -- Bound to the number and its business, which are the same here.
    insert into provisioning.secrets as s (whatsapp_number_id, business_id, kind, ciphertext, last_four, set_at, set_by)
    select (n.number ->> 'id')::uuid, business, e.secret ->> 'kind', decode(e.secret ->> 'ciphertext', 'hex'),
        e.secret ->> 'last_four', (e.secret ->> 'set_at')::timestamptz, e.secret ->> 'set_by'
    from jsonb_array_elements(coming.carried -> 'numbers') n (number), jsonb_array_elements(n.number -> 'secrets') e (secret)
    on conflict (whatsapp_number_id, business_id, kind) do update
    set ciphertext = excluded.ciphertext, last_four = excluded.last_four, set_at = excluded.set_at, set_by = excluded.set_by;
    insert into public.whatsapp_configuration as w (
        user_id, whatsapp_number, webhook_url, api_key, verify_token, business_account_id, phone_number_id, is_active, created_at)
    select (c.given ->> 'user_id')::uuid, c.given ->> 'whatsapp_number', c.given ->> 'webhook_url', c.given ->> 'api_key',
        c.given ->> 'verify_token', c.given ->> 'business_account_id', c.given ->> 'phone_number_id',
        (c.given ->> 'is_active')::boolean, (c.given ->> 'created_at')::timestamptz
    from (select coming.carried -> 'whatsapp' as given) c
    where jsonb_typeof(c.given) = 'object'
    on conflict (user_id) do update
    set whatsapp_number = excluded.whatsapp_number, webhook_url = excluded.webhook_url, api_key = excluded.api_key,
        verify_token = excluded.verify_token, business_account_id = excluded.business_account_id,
        phone_number_id = excluded.phone_number_id, is_active = excluded.is_active;

    for entry in select e.value from jsonb_array_elements(coming.restore_actions) e loop
        execute provisioning.restore_statement(entry);
    end loop;
    -- The next id of this database is not to be one that came in.
    if exists (select from pg_catalog.pg_sequence q
               where q.seqrelid = 'public.agents_id_seq'::regclass and coming.agent_id between q.seqmin and q.seqmax)
       and coming.agent_id > coalesce(pg_sequence_last_value('public.agents_id_seq'), 0)
    then
        perform setval('public.agents_id_seq', coming.agent_id);
    end if;
    update provisioning.moves m set state = 'done', ended_at = clock_timestamp(), carried = null, restore_actions = '[]'
    where m.id = coming.id;
    perform provisioning.notify('pgrst', 'reload schema');
    perform provisioning.notify('agent_provisioned', json_build_object('agent_id', coming.agent_id, 'state', 'ready')::text);
end $$;
