-- Deletions that can be undone: what a deletion takes off an agent, and how that comes back.

-- A foreign key as an entry for provisioning.restore_statement. Null: there is none.
create or replace function provisioning.key_entry(key oid) returns jsonb
    language sql stable set search_path = pg_catalog, pg_temp as $$
    select jsonb_strip_nulls(jsonb_build_object(
        'what', 'key', 'schema', n.nspname, 'name', c.relname, 'key', k.conname,
        'columns', columns.own, 'refers_to_schema', r.nspname, 'refers_to', f.relname,
        'refers_to_columns', columns.others, 'match', k.confmatchtype, 'on_update', k.confupdtype,
        'on_delete', k.confdeltype, 'set_columns', columns.set, 'deferrable', k.condeferrable,
        'deferred', k.condeferred, 'valid', k.convalidated,
        -- What no key_definition knows, since PostgreSQL 18: for a person to give back.
        'definition', case when to_jsonb(k) ->> 'conperiod' = 'true' or to_jsonb(k) ->> 'conenforced' = 'false'
                           then pg_get_constraintdef(k.oid) end))
    from pg_catalog.pg_constraint k
    join pg_catalog.pg_class c on c.oid = k.conrelid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    join pg_catalog.pg_class f on f.oid = k.confrelid
    join pg_catalog.pg_namespace r on r.oid = f.relnamespace
    cross join lateral (
        select
            (select jsonb_agg(a.attname order by i.place)
             from unnest(k.conkey) with ordinality i (attnum, place)
             join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = i.attnum) as own,
            (select jsonb_agg(a.attname order by i.place)
             from unnest(k.confkey) with ordinality i (attnum, place)
             join pg_catalog.pg_attribute a on a.attrelid = k.confrelid and a.attnum = i.attnum) as others,
            (select jsonb_agg(a.attname order by i.place)
             from unnest(k.confdelsetcols) with ordinality i (attnum, place)
             join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = i.attnum) as set
    ) columns
    where k.oid = key and k.contype = 'f'
$$;

-- A foreign key in the server's own words, without NOT VALID. Null where the entry is not complete.
create or replace function provisioning.key_definition(entry jsonb) returns text
    language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce(entry ->> 'definition', 'FOREIGN KEY (' || l.names[1] || ') REFERENCES '
        || quote_ident(entry ->> 'refers_to_schema') || '.' || quote_ident(entry ->> 'refers_to')
        || '(' || l.names[2] || ')'
        || case entry ->> 'match' when 'f' then ' MATCH FULL' else '' end
        || coalesce(' ON UPDATE ' || a.words[1], '')
        || coalesce(' ON DELETE ' || a.words[2] || coalesce(' (' || l.names[3] || ')', ''), '')
        || case when (entry ->> 'deferrable')::boolean then ' DEFERRABLE' else '' end
        || case when (entry ->> 'deferred')::boolean then ' INITIALLY DEFERRED' else '' end)
    from (select array(
              select (select string_agg(quote_ident(c.name), ', ' order by c.place)
                      from jsonb_array_elements_text(
                          case when jsonb_typeof(entry -> f.field) = 'array' then entry -> f.field end)
                          with ordinality c (name, place))
              from unnest('{columns,refers_to_columns,set_columns}'::text[]) with ordinality f (field, place)
              order by f.place) as names) l,
         (select array(
              select case entry ->> f.field when 'r' then 'RESTRICT' when 'c' then 'CASCADE'
                          when 'n' then 'SET NULL' when 'd' then 'SET DEFAULT' end
              from unnest('{on_update,on_delete}'::text[]) with ordinality f (field, place)
              order by f.place) as words) a
$$;

-- The statement that gives back one thing that was taken off a table; null where the entry is not complete.
-- Each name is quoted and each keyword comes from here. A row filter and a whole definition are text as it stands:
-- their statements are for a person to read, and are never run.
create or replace function provisioning.restore_statement(entry jsonb) returns text
    language sql stable set search_path = pg_catalog, pg_temp as $$
    select case entry ->> 'what'
        when 'grant' then
            'grant ' || (
                select string_agg(
                    w.privilege || coalesce(' (' || quote_ident(entry ->> 'column') || ')', ''), ', ' order by w.privilege)
                from jsonb_array_elements_text(entry -> 'privileges') p (privilege)
                join unnest('{select,insert,update,delete,truncate,references,trigger,maintain,usage}'::text[])
                    w (privilege) on w.privilege = lower(p.privilege collate "C"))
            || ' on ' || case entry ->> 'on' when 'table' then 'table ' when 'sequence' then 'sequence ' end || o.relation
            || ' to ' || case when entry ->> 'to' is null then 'public' else quote_ident(entry ->> 'to') end
            || case when (entry ->> 'option')::boolean then ' with grant option' else '' end
        when 'key' then
            -- Rows are checked later, by provisioning.validate_key: no lock on the other table lasts until then.
            'alter table ' || o.relation || ' add ' || coalesce('constraint ' || quote_ident(entry ->> 'key') || ' ', '')
            || provisioning.key_definition(entry) || case when entry ? 'definition' then '' else ' NOT VALID' end
        when 'publication' then
            case when entry ->> 'columns' is null and entry ->> 'filter' is null
                then format('select provisioning.publish(%L, %L)', o.relation, entry ->> 'publication')
                else 'alter publication ' || quote_ident(entry ->> 'publication') || ' add table ' || o.relation
                    || coalesce(' (' || (
                        select string_agg(quote_ident(c.name), ', ' order by c.place)
                        from jsonb_array_elements_text(
                            case when jsonb_typeof(entry -> 'columns') = 'array' then entry -> 'columns' end)
                            with ordinality c (name, place)) || ')', '')
                    || coalesce(' where (' || (entry ->> 'filter') || ')', '')
            end
    end
    from (select quote_ident(entry ->> 'schema') || '.' || quote_ident(entry ->> 'name') as relation) o
$$;

-- The foreign keys that are off some agents' tables, by provisioning.agents.removed_keys, and what keeps them from being
-- given back in the role of the tables' owner.
create or replace function provisioning.keys_off(agents bigint[])
returns table (
    agent_id bigint, entry jsonb,
    relation text, key text, refers_to text,    -- quoted
    definition text,                -- in the server's own words
    owner text,                     -- of the agent's table, quoted
    is_there boolean,               -- the key is back
    is_valid boolean,               -- and was checked
    is_whole boolean,               -- it is as it was
    obstacle text,                  -- why a person has to give it back; null: nobody has to
    statement text                  -- for that person; null: none helps
)
    language sql stable set search_path = pg_catalog, pg_temp as $$
    select p.agent_id, e.entry,
        format('%I.%I', e.entry ->> 'schema', e.entry ->> 'name'), quote_ident(e.entry ->> 'key'),
        format('%I.%I', e.entry ->> 'refers_to_schema', e.entry ->> 'refers_to'),
        provisioning.key_definition(e.entry)
            || case when (e.entry ->> 'valid')::boolean then '' else ' NOT VALID' end,
        c.relowner::regrole::text,
        k.oid is not null, coalesce(k.convalidated, false),
        k.oid is not null and (k.convalidated or not (e.entry ->> 'valid')::boolean),
        case
            when k.oid is not null then null
            when c.oid is null or f.oid is null or columns.gone then 'a table or a column of it is gone'
            when columns.strange then 'its columns have a type that the other table''s have not'
            when e.entry ? 'definition' then 'it is more than a plain foreign key'
            when not has_schema_privilege(c.relowner, r.oid, 'usage') or columns.refused
                then format('role %s may not refer to %I.%I', c.relowner::regrole, r.nspname, f.relname)
        end,
        case when k.oid is null and not columns.gone and not columns.strange
             then provisioning.restore_statement(e.entry) end
    from provisioning.agents p
    cross join lateral jsonb_array_elements(p.removed_keys) with ordinality e (entry, place)
    left join pg_catalog.pg_namespace n on n.nspname = e.entry ->> 'schema'
    left join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = e.entry ->> 'name'
    left join pg_catalog.pg_namespace r on r.nspname = e.entry ->> 'refers_to_schema'
    left join pg_catalog.pg_class f on f.relnamespace = r.oid and f.relname = e.entry ->> 'refers_to'
    left join pg_catalog.pg_constraint k on k.conrelid = c.oid and k.contype = 'f' and k.conname = e.entry ->> 'key'
    cross join lateral (
        select count(a.attnum) < count(*) or count(b.attnum) < count(*) or count(*) = 0 as gone,
            coalesce(bool_or(a.atttypid >= 16384 and a.atttypid <> b.atttypid), false) as strange,
            coalesce(bool_or(
                not has_column_privilege(c.relowner, f.oid, b.attnum, 'references')
                and not (f.oid = 'public.agents'::regclass and c.relkind = 'r'
                         and has_function_privilege(c.relowner, 'provisioning.refer_to_agents(jsonb)', 'execute'))
            ), false) as refused
        from rows from (
            jsonb_array_elements_text(e.entry -> 'columns'), jsonb_array_elements_text(e.entry -> 'refers_to_columns')
        ) name (own, other)
        left join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = name.own and not a.attisdropped
        left join pg_catalog.pg_attribute b on b.attrelid = f.oid and b.attname = name.other and not b.attisdropped
    ) columns
    where p.agent_id = any (agents) and p.removed_keys <> '[]'
    order by p.agent_id, e.place
$$;

-- Forgets the removed keys of an agent that are as they were before.
create or replace function provisioning.forget_keys(agent bigint) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
begin
    update provisioning.agents p
    set removed_keys = (
        select coalesce(jsonb_agg(o.entry), '[]') from provisioning.keys_off(array[agent]) o where not o.is_whole)
    where p.agent_id = agent and exists (
        select from provisioning.keys_off(array[agent]) o where o.is_whole);
end $$;

-- What is run for a foreign key must not be code of the table's owner: an operator's session does it, too. A type of
-- the owner's may have a cast that is a function.
create or replace function provisioning.require_plain_key(relation regclass, columns smallint[], other regclass, others smallint[])
returns void
    language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if exists (
        select from unnest(columns, others) i (own, other)
        join pg_catalog.pg_attribute a on a.attrelid = relation and a.attnum = i.own
        join pg_catalog.pg_attribute b on b.attrelid = require_plain_key.other and b.attnum = i.other
        where a.atttypid >= 16384 and a.atttypid <> b.atttypid)
    then
        raise exception 'a column of % has a type that the column of % has not', relation, other
            using errcode = 'datatype_mismatch';
    end if;
end $$;

-- Adds a foreign key to public.agents to a table of the caller's, and says what it is called. Checks no row: that is for
-- the caller. The worker's role has no REFERENCES on public.agents, because who has that can run code as its owner: the
-- server looks for the other row in the owner's role, and a type of one's own may have a cast that is a function.
create or replace function provisioning.refer_to_agents(entry jsonb) returns text
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    caller    constant name := coalesce(nullif(current_setting('role'), 'none'), session_user);
    relation  constant text := format('%I.%I', entry ->> 'schema', entry ->> 'name');
    statement constant text := provisioning.restore_statement(entry);
    keys      oid[];
    found_table record;
begin
    perform provisioning.refuse_in_trigger();
    if statement is null or entry ->> 'what' is distinct from 'key' or entry ? 'definition'
       or (entry ->> 'refers_to_schema', entry ->> 'refers_to') is distinct from ('public', 'agents') then
        raise exception 'this is no plain foreign key to public.agents' using errcode = 'invalid_foreign_key';
    end if;
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'isolation level % may not see what the columns are now', current_setting('transaction_isolation')
            using errcode = 'active_sql_transaction';
    end if;
    for locked in 0..1 loop
        select c.oid, c.relkind, c.relowner into found_table
        from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where n.nspname = entry ->> 'schema' and c.relname = entry ->> 'name'
          and pg_has_role(caller, c.relowner, 'usage');
        if not found then
            raise exception '% is no table of role %', relation, caller using errcode = 'insufficient_privilege';
        elsif found_table.relkind <> 'r' then
            raise exception '% is no plain table', relation
                using errcode = 'feature_not_supported',
                      hint = format('Of a partitioned table the server checks the rows at once. Whoever trusts role %s '
                          'with the rights of the owner of public.agents may: grant references on public.agents to %1$s;', caller);
        elsif not pg_has_role(current_user, found_table.relowner, 'usage') then
            raise exception 'role % is no member of role %', current_user, found_table.relowner::regrole
                using errcode = 'insufficient_privilege', hint = 'Run deploy/roles.sql as postgres.';
        end if;
        -- Its columns keep their types from here on.
        if locked = 0 then
            execute format('lock table only %s in share row exclusive mode', relation);
        end if;
    end loop;
    if exists (
        select from jsonb_array_elements_text(entry -> 'columns') c (name)
        join pg_catalog.pg_attribute a on a.attrelid = found_table.oid and a.attname = c.name
        join pg_catalog.pg_type y on y.oid = a.atttypid
        where y.oid >= 16384 or y.typtype <> 'b' or y.typnamespace <> 'pg_catalog'::regnamespace)
    then
        raise exception 'a column of % has a type that is not built in, and cannot refer to public.agents', relation
            using errcode = 'datatype_mismatch';
    end if;
    keys := array(select k.oid from pg_catalog.pg_constraint k where k.conrelid = found_table.oid);
    execute statement;
    return (select k.conname from pg_catalog.pg_constraint k
            where k.conrelid = found_table.oid and k.contype = 'f' and k.oid <> all (keys));
end $$;

-- Makes a foreign key to public.agents as a template asks for it, and checks the rows unless that says NOT VALID.
create or replace function provisioning.make_key(entry jsonb) returns void
    language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    valid constant boolean := coalesce((entry ->> 'valid')::boolean, true);
    made  text;
begin
    if has_any_column_privilege('public.agents', 'references') then
        execute regexp_replace(provisioning.restore_statement(entry), case when valid then ' NOT VALID$' else '^$' end, '');
        return;
    end if;
    made := provisioning.refer_to_agents(entry);
    if valid then
        execute format('alter table %I.%I validate constraint %I', entry ->> 'schema', entry ->> 'name', made);
    end if;
end $$;

-- Adds a foreign key back. It holds for new rows; those that are there are not checked, so nobody waits for that. Of a
-- partitioned table PostgreSQL before 18 has no such key, and it checks the rows at once.
create or replace function provisioning.add_key(entry jsonb) returns void
    language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    relation constant regclass := format('%I.%I', entry ->> 'schema', entry ->> 'name')::regclass;
    made     record;
begin
    if entry ? 'definition' then
        raise exception 'constraint % is more than a plain foreign key', entry ->> 'key'
            using errcode = 'feature_not_supported';
    end if;
    execute format('lock table only %s in share row exclusive mode', relation);
    perform provisioning.require_plain_key(
        relation, array(select a.attnum from jsonb_array_elements_text(entry -> 'columns') with ordinality c (name, place)
                        join pg_catalog.pg_attribute a on a.attrelid = relation and a.attname = c.name
                        order by c.place),
        f.oid, array(select a.attnum
                     from jsonb_array_elements_text(entry -> 'refers_to_columns') with ordinality c (name, place)
                     join pg_catalog.pg_attribute a on a.attrelid = f.oid and a.attname = c.name
                     order by c.place))
    from pg_catalog.pg_class f join pg_catalog.pg_namespace n on n.oid = f.relnamespace
    where n.nspname = entry ->> 'refers_to_schema' and f.relname = entry ->> 'refers_to';
    if (entry ->> 'refers_to_schema', entry ->> 'refers_to') = ('public', 'agents')
       and not has_any_column_privilege('public.agents', 'references') then
        perform provisioning.refer_to_agents(entry);
        return;
    end if;
    begin
        execute provisioning.restore_statement(entry);
    exception when wrong_object_type then
        -- The check may run policies and indexes of the owner's, as in provisioning.validate_key.
        if not exists (select from pg_catalog.pg_class c
                       where c.oid = relation and pg_has_role(c.relowner, session_user, 'usage')) then
            raise exception 'only the owner of % may check the rows behind constraint %', relation, entry ->> 'key'
                using errcode = 'insufficient_privilege';
        end if;
        execute regexp_replace(provisioning.restore_statement(entry), ' NOT VALID$', '');
    end;
end $$;

-- Checks the rows behind a foreign key; whether all have a partner. If not, it goes on to hold for new rows only. Locks
-- neither table against writers.
--
-- PostgreSQL reads the rows in the role of the table's owner where that role may read both tables. Then row security that
-- is forced on the owner would hide rows of either table from the check, so it is off meanwhile, and policies and indexes of
-- the owner's may run code: that is for the owner's own session.
--
-- key: quoted
create or replace function provisioning.validate_key(relation regclass, key text) returns boolean
    language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    k      record;
    forced regclass[];      -- the tables on whose owner row security is forced
    holds  boolean := true;
    one    regclass;
begin
    execute format('lock table only %s in share update exclusive mode', relation);
    select array_remove(array[
            case when c.relforcerowsecurity then c.oid end,
            case when f.relforcerowsecurity and f.relowner = c.relowner and f.oid <> c.oid then f.oid end], null)::regclass[]
            as forced, c.relowner, n.conkey, n.confrelid, n.confkey, n.convalidated,
        has_any_column_privilege(n.confrelid, 'select')
            and (not f.relrowsecurity or pg_has_role(f.relowner, 'USAGE') or m.bypasses) as reads,
        m.bypasses
    into k
    from pg_catalog.pg_constraint n
    join pg_catalog.pg_class c on c.oid = n.conrelid
    join pg_catalog.pg_class f on f.oid = n.confrelid
    cross join lateral (
        select a.rolsuper or a.rolbypassrls as bypasses from pg_catalog.pg_roles a where a.rolname = current_user) m
    where n.conrelid = relation and n.conname = (parse_ident(key))[1] and n.contype = 'f';
    if not found or k.convalidated then
        return true;
    end if;
    perform provisioning.require_plain_key(relation, k.conkey, k.confrelid, k.confkey);
    if k.reads and not pg_has_role(k.relowner, session_user, 'USAGE') then
        raise exception 'only role % may check the rows behind constraint %', k.relowner::regrole, key
            using errcode = 'insufficient_privilege';
    end if;
    forced := case when k.reads and not k.bypasses then k.forced else '{}' end;
    foreach one in array forced loop
        execute format('alter table %s no force row level security', one);
    end loop;
    begin
        execute format('alter table %s validate constraint %I', relation, (parse_ident(key))[1]);
    exception when foreign_key_violation then
        holds := false;
    end;
    foreach one in array forced loop
        execute format('alter table %s force row level security', one);
    end loop;
    return holds;
end $$;

-- What the worker writes here it writes through these functions. They read in the catalog what is to be given back: an
-- operator's session does that, so it must not be what somebody with the worker's password likes.

-- Fails unless the deletion of an agent is pending.
create or replace function provisioning.require_deletion(agent bigint) returns void
    language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if not exists (select from provisioning.jobs j
                   where j.agent_id = agent and j.kind = 'deprovision' and j.state = 'pending') then
        raise exception 'no deletion of agent % is pending', agent using errcode = 'insufficient_privilege';
    end if;
end $$;

-- Fails where another agent has the prefix or the id of one that is to come back. hint: what to do about it
create or replace function provisioning.require_free_place(prefix text, agent bigint, hint text) returns void
    language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    other bigint;
begin
    select l.id into other from provisioning.living_agents() l where l.agent_prefix = prefix or l.id = agent;
    if not found then
        select p.agent_id into other from provisioning.agents p where p.agent_prefix = prefix;
    end if;
    if found then
        raise exception 'agent % has the prefix % now', other, prefix
            using errcode = 'object_not_in_prerequisite_state', hint = require_free_place.hint;
    end if;
end $$;

-- Fails unless all of these tables that exist belong to whoever has logged in.
create or replace function provisioning.require_own_tables(tables oid[]) returns void
    language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    another oid;
begin
    select c.oid into another from pg_catalog.pg_class c
    where c.oid = any (tables) and not pg_has_role(session_user, c.relowner, 'USAGE')
    limit 1;
    if found then
        raise exception '% is no table of role %', another::regclass, session_user
            using errcode = 'insufficient_privilege',
                  hint = format('As the owner or as postgres: alter table %s owner to %I;', another::regclass, session_user);
    end if;
end $$;

-- The agent's registered tables that still are what was registered. All have to be the caller's.
create or replace function provisioning.leaving_tables(agent bigint) returns oid[]
    language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    tables oid[];
begin
    perform provisioning.refuse_in_trigger();
    select coalesce(array_agg(c.oid), '{}') into tables
    from provisioning.agent_tables t
    join pg_catalog.pg_class c on c.oid = t.relation and c.relname = t.table_name
    where t.agent_id = agent;
    perform provisioning.require_own_tables(tables);
    return tables;
end $$;

-- Keeps in the registry which foreign keys of a leaving agent's tables the caller is about to take off, each once.
-- False: there was nothing to write to. Keys that are gone by now are left out.
create or replace function provisioning.note_keys(agent bigint, keys oid[]) returns boolean
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
declare
    tables oid[];
begin
    perform provisioning.require_deletion(agent);
    tables := provisioning.leaving_tables(agent);
    update provisioning.agents p
    set removed_keys = (
        with noted as (
            select provisioning.key_entry(k.oid) as entry
            from pg_catalog.pg_constraint k
            where k.oid = any (keys) and k.contype = 'f' and k.conrelid = any (tables)
        )
        select coalesce(jsonb_agg(u.entry), '[]')
        from (
            select old.entry
            from jsonb_array_elements(p.removed_keys) old (entry)
            where not exists (
                select from noted n
                where n.entry ->> 'schema' = old.entry ->> 'schema' and n.entry ->> 'name' = old.entry ->> 'name'
                  and n.entry ->> 'key' = old.entry ->> 'key')
            union all
            select n.entry from noted n
        ) u (entry)
    )
    where p.agent_id = agent;
    return found;
end $$;

-- Who besides the owner may do what with some tables and their sequences: the statement that takes it away, and
-- what provisioning.restore_statement needs to give it back.
create or replace function provisioning.grants_on(tables oid[]) returns table (revoke text, entry jsonb)
    language sql stable set search_path = pg_catalog, pg_temp as $$
    with those as materialized (
        select c.oid, n.nspname, c.relname, c.relacl, c.relowner
        from unnest(tables) u (oid)
        join pg_catalog.pg_class c on c.oid = u.oid
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    ), lists as (
        select 'table' as kind, t.nspname, t.relname, null::name as attname, t.relacl as acl, t.relowner from those t
        union all
        select 'table', t.nspname, t.relname, a.attname, a.attacl, t.relowner
        from those t
        join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attacl is not null and not a.attisdropped
        union all
        -- Of serial columns (a) and of identity columns (i).
        select 'sequence', n.nspname, c.relname, null, c.relacl, c.relowner
        from those t
        join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_class'::regclass
            and d.refobjid = t.oid and d.refobjsubid > 0 and d.deptype in ('a', 'i')
            and d.classid = 'pg_catalog.pg_class'::regclass
        join pg_catalog.pg_class c on c.oid = d.objid and c.relkind = 'S'
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    )
    select
        format('revoke all on %s %I.%I from %s cascade', l.kind, l.nspname, l.relname,
            case when g.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(g.grantee)) end) as revoke,
        jsonb_strip_nulls(jsonb_build_object(
            'what', 'grant', 'on', l.kind, 'schema', l.nspname, 'name', l.relname, 'column', l.attname,
            'privileges', jsonb_agg(lower(g.privilege_type collate "C") order by g.privilege_type),
            'to', case when g.grantee <> 0 then pg_get_userbyid(g.grantee) end,
            'option', g.is_grantable)) as entry
    from lists l, aclexplode(l.acl) g
    where g.grantee <> l.relowner
    group by l.kind, l.nspname, l.relname, l.attname, g.grantee, g.is_grantable
    order by 1
$$;

-- Notes a leaving agent and what of it goes into the trash, and takes its tables out of publications. The caller has
-- the tables locked, and runs the statements: the first take privileges away, the others move each table, and then at
-- once what moved with it, since the next table may have things of the same names. No prefix begins with an underscore,
-- so nothing that comes later bears one of the names. provisioning.remove_agent adds what only the agent's row knows.
--
-- A key to public.agents that somebody has given up meanwhile (`agents convert`) does not come back.
-- seconds: how long to keep it
-- service_clock: in seconds since 1970
-- item: its number there; null: the row was not written
create or replace function provisioning.trash_agent(
    agent bigint, seconds double precision, service_clock double precision,
    out item bigint, out tables bigint, out revokes text[], out moves text[]
)
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
#variable_conflict use_column
declare
    own oid[];
begin
    perform provisioning.require_deletion(agent);
    own := provisioning.leaving_tables(agent);
    revokes := array(select g.revoke from provisioning.grants_on(own) g order by g.revoke);
    insert into provisioning.trash as t (
        agent_id, agent_prefix, built_for, template_version, reference, provisioned_at, restore_actions, purge_at, clock_offset
    )
    select p.agent_id, p.agent_prefix, p.user_id, p.template_version, p.reference, p.provisioned_at,
        (select coalesce(jsonb_agg(g.entry order by g.revoke), '[]') from provisioning.grants_on(own) g)
        || (select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
                'what', 'publication', 'schema', n.nspname, 'name', c.relname, 'publication', u.publication,
                'columns', to_jsonb(u.columns), 'filter', u.filter))), '[]')
            from unnest(own) o (oid)
            join pg_catalog.pg_class c on c.oid = o.oid
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            cross join lateral provisioning.unpublish(o.oid::regclass) u)
        || (select coalesce(jsonb_agg(k.entry), '[]') from jsonb_array_elements(p.removed_keys) k (entry)
            where p.reference = 'foreign_key'
               or (k.entry ->> 'refers_to_schema', k.entry ->> 'refers_to') is distinct from ('public', 'agents')),
        now() + seconds * interval '1 second',
        extract(epoch from clock_timestamp()) - service_clock
    from provisioning.agents p
    where p.agent_id = agent
    returning t.id into item;
    if item is null then
        return;
    end if;
    with tables as materialized (
        select c.oid, c.relnamespace, c.relname
        from unnest(own) t (oid)
        join pg_catalog.pg_class c on c.oid = t.oid
    ), relations as (
        select 'table' as kind, oid, relnamespace as original_schema, relname::text as name, oid as with_table from tables
        union all
        select 'index', c.oid, c.relnamespace, c.relname::text, t.oid
        from tables t
        join pg_catalog.pg_index i on i.indrelid = t.oid
        join pg_catalog.pg_class c on c.oid = i.indexrelid
        union all
        select 'sequence', c.oid, c.relnamespace, c.relname::text, t.oid
        from tables t
        join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_class'::regclass
            and d.refobjid = t.oid and d.refobjsubid > 0 and d.deptype in ('a', 'i')
            and d.classid = 'pg_catalog.pg_class'::regclass
        join pg_catalog.pg_class c on c.oid = d.objid and c.relkind = 'S'
        union all
        -- Those of somebody else's stay where they are, on the moved table, and go when it is dropped.
        select 'statistics', s.oid, s.stxnamespace, s.stxname::text, null
        from tables t
        join pg_catalog.pg_statistic_ext s
            on s.stxrelid = t.oid and pg_has_role(session_user, s.stxowner, 'USAGE')
        union all
        select 'type', y.oid, y.typnamespace, y.typname::text, null
        from provisioning.agent_types t
        join pg_catalog.pg_type y on y.oid = t.type and y.typname = t.type_name
        where t.agent_id = agent
    ), renamed as (
        select r.*, '_' || item || substr(r.name, length(p.agent_prefix) + 1) as telling,
            r.name ^@ (p.agent_prefix || '_') as has_prefix,
            row_number() over (order by r.kind, r.oid) as number,
            -- An index and a type may have one name, and so may two tables in two schemas.
            row_number() over (partition by r.name order by r.kind <> 'table', r.oid) = 1 as is_first
        from relations r, provisioning.agents p
        where p.agent_id = agent
    ), named as materialized (
        select r.*, n.nspname as schema,
            case when r.has_prefix and r.is_first and octet_length(r.telling) <= 63 then r.telling
                 else format('_%s.%s', item, r.number) end as trash_name
        from renamed r join pg_catalog.pg_namespace n on n.oid = r.original_schema
    ), noted as (
        insert into provisioning.trash_relations (trash_name, trash_id, kind, original_schema, name)
        select d.trash_name, trash_agent.item, d.kind, d.schema, d.name from named d
        returning trash_relations.trash_name
    )
    select count(*) filter (where d.kind = 'table' and s.step = 2),
        array_agg(s.statement order by d.with_table, d.kind <> 'table', d.number, s.step)
    into tables, moves
    from named d
    join noted n on n.trash_name = d.trash_name
    cross join lateral (values
        -- Indexes and sequences go with their tables.
        (1, case when d.kind in ('table', 'statistics', 'type')
                 then format('alter %s %I.%I set schema provisioning_trash', d.kind, d.schema, d.name) end),
        (2, format('alter %s provisioning_trash.%I rename to %I', d.kind, d.name, d.trash_name))
    ) s (step, statement)
    where s.statement is not null;
end $$;

-- Takes an agent out of the trash: its row, registration and WhatsApp configuration are as they were,
-- and the statements bring the rest back, each table after what moves with it. Its foreign keys are off, which the
-- registry knows. No row: it is not in the trash any more. A user who is gone, or has another agent by now, is left out.
-- Of a business that is gone the agent comes into the default business. Not granted: with the rights of the owner of the
-- schema, by `agents restore` or by provisioning.restore_item.
create or replace function provisioning.take_from_trash(item bigint)
returns table (
    complete boolean,               -- no rule and no trigger swallowed one of the rows
    owner_known boolean, built_for text,
    orphaned boolean,               -- its user is gone, or has another agent
    owner text,                     -- of the tables; whoever has them may rename and grant
    tables oid[], schemas text[], names text[],     -- what is registered, and where the statements put it
    statements text[], restore_actions text[]
)
    language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    return query
    with item as materialized (
        delete from provisioning.trash t where t.id = take_from_trash.item returning *
    ), kept as materialized (
        select r.kind, r.original_schema, r.name, r.trash_name,
            case r.kind
                when 'type' then to_regtype(format('provisioning_trash.%I', r.trash_name))::oid
                when 'statistics' then (
                    select s.oid from pg_catalog.pg_statistic_ext s
                    where s.stxnamespace = 'provisioning_trash'::regnamespace and s.stxname = r.trash_name)
                else to_regclass(format('provisioning_trash.%I', r.trash_name))::oid
            end as oid
        from provisioning.trash_relations r
        where r.trash_id = take_from_trash.item
    ), agent as (
        insert into public.agents (id, agent_prefix, created_at, user_id, created_by, business_id)
        select i.agent_id, i.agent_prefix, coalesce(i.created_at, i.provisioned_at), u.id, c.id,
            coalesce(b.id, '00000000-0000-0000-0000-000000000001')
        from item i
        left join public.businesses b on b.id = i.business_id
        left join public.users c on c.id = i.created_by
        left join public.users u on u.id = i.user_id
            and not exists (select from public.agents a where a.user_id = i.user_id)
        returning user_id
    ), registered as (
        insert into provisioning.agents (
            agent_id, agent_prefix, user_id, template_version, reference, provisioned_at, removed_keys)
        select i.agent_id, i.agent_prefix, a.user_id, i.template_version, i.reference, i.provisioned_at,
            (select coalesce(jsonb_agg(e.entry order by e.place), '[]')
             from jsonb_array_elements(i.restore_actions) with ordinality e (entry, place) where e.entry ->> 'what' = 'key')
        from item i, agent a
        returning 1
    ), tables as (
        insert into provisioning.agent_tables (relation, agent_id, table_name)
        select k.oid::regclass, i.agent_id, k.name from item i, kept k
        where k.kind = 'table' and k.oid is not null
        returning 1
    ), types as (
        insert into provisioning.agent_types (type, agent_id, type_name)
        select k.oid::regtype, i.agent_id, k.name from item i, kept k
        where k.kind = 'type' and k.oid is not null
        returning 1
    ), whatsapp as (
        update public.whatsapp_configuration w set is_active = true, updated_at = now()
        from item i, agent a
        where i.whatsapp and w.user_id = a.user_id and not w.is_active
    ), forgotten as (
        delete from provisioning.deleted_agents d using item i where d.agent_id = i.agent_id
    )
    select
        -- Whether a rule or a trigger swallowed one of the rows.
        (select count(*) from agent) = 1 and (select count(*) from registered) = 1
            and (select count(*) from tables) = (select count(*) from kept where kind = 'table' and oid is not null)
            and (select count(*) from types) = (select count(*) from kept where kind = 'type' and oid is not null)
            as complete,
        i.owner_known,
        i.built_for::text as built_for,
        i.user_id is distinct from (select a.user_id from agent a) as orphaned,
        -- Of the tables; whoever has them may rename and grant.
        (select c.relowner::regrole::text from kept k join pg_catalog.pg_class c on c.oid = k.oid
         where k.kind = 'table' limit 1) as owner,
        -- What is registered, and where the statements put it.
        array(select k.oid from kept k where k.kind = 'table' and k.oid is not null order by k.oid) as tables,
        array(select k.original_schema from kept k where k.kind = 'table' and k.oid is not null order by k.oid) as schemas,
        array(select k.name from kept k where k.kind = 'table' and k.oid is not null order by k.oid) as names,
        array(
            select s.statement
            from kept k
            cross join lateral (values
                (1, format('alter %s provisioning_trash.%I rename to %I', k.kind, k.trash_name, k.name)),
                (2, case when k.kind in ('table', 'statistics', 'type')
                         then format('alter %s provisioning_trash.%I set schema %I', k.kind, k.name, k.original_schema)
                    end)
            ) s (step, statement)
            left join pg_catalog.pg_index x on k.kind = 'index' and x.indexrelid = k.oid
            left join pg_catalog.pg_depend d on k.kind = 'sequence' and d.classid = 'pg_catalog.pg_class'::regclass
                and d.objid = k.oid and d.deptype in ('a', 'i') and d.refclassid = 'pg_catalog.pg_class'::regclass
            where k.oid is not null and s.statement is not null
            order by
                case k.kind when 'table' then k.oid when 'index' then x.indrelid when 'sequence' then d.refobjid end
                    nulls first,
                k.kind = 'table', k.oid, s.step
        ) as statements,
        array(select e.entry::text from jsonb_array_elements(i.restore_actions) with ordinality e (entry, place)
              where e.entry ->> 'what' <> 'key' order by e.place) as restore_actions
    from item i;
end $$;

-- The same for the claimed restore of a worker, which then has the agent's tables moved in its own role: all of them have to be
-- the caller's. That an operator asked for it is what the job proves: nobody else queues one. A repair gives the foreign keys
-- back, and is queued where there are any.
create or replace function provisioning.restore_item(job bigint)
returns table (
    complete boolean, owner_known boolean, built_for text, orphaned boolean, owner text, tables oid[], schemas text[],
    names text[], statements text[], restore_actions text[]
)
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
#variable_conflict use_column
declare
    wanted provisioning.jobs;
begin
    perform provisioning.refuse_in_trigger();
    perform provisioning.require_present();
    select j.* into wanted from provisioning.jobs j
    where j.id = restore_item.job and j.kind = 'restore' and j.state = 'pending';
    if not found then
        raise exception 'job % is no pending restore', job using errcode = 'object_not_in_prerequisite_state';
    end if;
    perform provisioning.require_free_place(
        wanted.agent_prefix, wanted.agent_id, format('Cancel job %s. Then delete that agent, and restore this one.', job));
    if provisioning.is_moved_item(wanted.trash_item) then
        raise exception 'agent % was moved to another database', wanted.agent_prefix
            using errcode = 'object_not_in_prerequisite_state', hint = format('Cancel job %s.', job);
    end if;
    perform provisioning.require_own_tables(array(
        select to_regclass(format('provisioning_trash.%I', r.trash_name))::oid
        from provisioning.trash_relations r
        where r.trash_id = wanted.trash_item and r.kind = 'table'));
    return query select t.* from provisioning.take_from_trash(wanted.trash_item) t;
    if not found then
        raise exception 'item % is not in the trash any more', wanted.trash_item
            using errcode = 'object_not_in_prerequisite_state', hint = format('Cancel job %s.', job);
    end if;
    if exists (select from provisioning.agents p where p.agent_id = wanted.agent_id and p.removed_keys <> '[]') then
        perform provisioning.queue_jobs(
            'repair', array[wanted.agent_id], false, null, null, format('job %s', job), 10::smallint, null);
    end if;
end $$;

-- What the sweep may purge, a few at a time and in any order: neither the sweep nor the rest waits for those that
-- cannot go. Nothing, and `held`, where the database's clock has moved against the service's by more than an hour since
-- the deletions that are due now: with that it is not known whether they are.
-- service_clock: in seconds since 1970
create or replace function provisioning.purge_due(
    service_clock double precision, out held boolean, out clock_moved double precision, out items bigint[]
)
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
declare
    ahead constant double precision := extract(epoch from clock_timestamp()) - service_clock;
begin
    select coalesce(max(abs(t.clock_offset - ahead)), 0) into clock_moved
    from provisioning.trash t where t.purge_at <= now();
    held := exists (select from provisioning.purge_holds h where h.released_at is null);
    if clock_moved > 3600 and not held then
        insert into provisioning.purge_holds (clock_moved) values (make_interval(secs => clock_moved))
        on conflict do nothing;
        held := true;
    end if;
    if held then
        return;
    end if;
    -- What was released, or noted without a clock, is measured from now on.
    update provisioning.trash t set clock_offset = ahead where t.clock_offset is null;
    items := array(select t.id from provisioning.trash t where t.purge_at <= now() order by random() limit 50);
end $$;

-- One item of the trash, gone from the books, and what there is to drop. No row: somebody is restoring or purging it, or
-- it is to be kept for longer. What is not due, or is held, only those may purge who may write to the trash.
create or replace function provisioning.purge_item(item bigint, due boolean)
returns table (agent_id bigint, agent_prefix text, gone boolean, oids oid[], tables text[], types text[])
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
#variable_conflict use_column
begin
    perform provisioning.refuse_in_trigger();
    if not due and not has_table_privilege(session_user, 'provisioning.trash', 'delete') then
        raise exception 'role % may purge only what is due', session_user using errcode = 'insufficient_privilege';
    end if;
    if due and exists (select from provisioning.purge_holds h where h.released_at is null) then
        return;
    end if;
    select t.agent_id, t.agent_prefix into agent_id, agent_prefix
    from provisioning.trash t
    where t.id = purge_item.item and (not due or t.purge_at <= now())
    for update skip locked;
    if not found then
        return;
    end if;
    select coalesce(array_agg(k.oid) filter (where k.kind = 'table'), '{}'),
        coalesce(array_agg(k.name) filter (where k.kind = 'table'), '{}'),
        coalesce(array_agg(k.name) filter (where k.kind = 'type'), '{}')
    into oids, tables, types
    from (
        select r.kind, n.name, case r.kind when 'table' then to_regclass(n.name)::oid
                                           when 'type' then to_regtype(n.name)::oid end as oid
        from provisioning.trash_relations r
        cross join lateral format('provisioning_trash.%I', r.trash_name) n (name)
        where r.trash_id = purge_item.item
    ) k
    where k.oid is not null;
    delete from provisioning.trash t where t.id = purge_item.item;
    gone := found;
    return next;
end $$;
