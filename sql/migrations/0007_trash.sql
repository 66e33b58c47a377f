-- Deletions that can be undone, and deletions that somebody has to confirm.

-- Where the tables of deleted agents wait. Nobody but the worker's role has any right here.
create schema provisioning_trash;
revoke all on schema provisioning_trash from public, anon, authenticated, service_role;

-- What a deletion has taken off the agent's tables so far: foreign keys, as in provisioning.trash.regain. They are
-- off although the agent may live on, if the deletion is cancelled after that.
alter table provisioning.agents add column removed_keys jsonb not null default '[]';

-- What it takes to bring an agent back. The same agent may be here more than once.
create table provisioning.trash (
    item             bigint generated always as identity primary key,
    agent_id         bigint not null,
    agent_prefix     text not null,
    -- Whether the owner at the moment of the deletion is known. If not, the next three are null.
    owner_known      boolean not null default false,
    user_id          uuid,
    created_by       uuid,
    created_at       timestamptz,
    built_for        uuid,              -- the owner on the day when the tables were built; a hint for people
    template_version integer not null,
    reference        text not null check (reference in ('foreign_key', 'check')),
    provisioned_at   timestamptz not null,
    -- Whether the deletion switched the user's WhatsApp configuration off.
    whatsapp         boolean not null default false,
    -- What was taken off the tables, as an array for provisioning.regain_statement. No SQL: the worker's role
    -- writes it, and an operator's session gives it back.
    regain           jsonb not null,
    trashed_at       timestamptz not null default now(),
    purge_at         timestamptz not null,
    -- Seconds by which the database's clock was ahead of the service's at that moment. Null: not known.
    clock_offset     double precision
);
create index trash_agent_prefix_idx on provisioning.trash (agent_prefix);
create index trash_purge_at_idx on provisioning.trash (purge_at);

-- What was moved, and under which name it is kept: a prefix may be deleted more than once. Names,
-- because a dump loads these rows before there is an index to refer to.
create table provisioning.trash_relations (
    kept_as text primary key,
    item    bigint not null references provisioning.trash (item) on delete cascade,
    kind    text not null check (kind in ('table', 'index', 'sequence', 'statistics', 'type')),
    home    text not null,              -- the schema it came from
    name    text not null
);
create index trash_relations_item_idx on provisioning.trash_relations (item);

-- The sweep purges nothing while a row here is open: the database's clock has moved against the service's, and
-- purge_at may have come too early. A row stays as a record after an operator has released it.
create table provisioning.purge_holds (
    hold        bigint generated always as identity primary key,
    held_at     timestamptz not null default now(),
    clock_moved interval not null,
    released_at timestamptz,
    released_by text
);
create unique index purge_holds_open_key on provisioning.purge_holds ((true)) where released_at is null;

alter table provisioning.trash enable row level security;
alter table provisioning.trash_relations enable row level security;
alter table provisioning.purge_holds enable row level security;
revoke all on provisioning.trash, provisioning.trash_relations, provisioning.purge_holds
    from public, anon, authenticated, service_role;
revoke all on sequence provisioning.trash_item_seq, provisioning.purge_holds_hold_seq
    from public, anon, authenticated, service_role;
create policy no_api_access on provisioning.trash for all to authenticated using (false);
create policy no_api_access on provisioning.trash_relations for all to authenticated using (false);
create policy no_api_access on provisioning.purge_holds for all to authenticated using (false);

-- Set by an operator's approval, and by no API function: asking for a deletion again does not confirm it.
alter table provisioning.jobs add column deletion_confirmed boolean not null default false;
-- Counts the unconfirmed deletions of the last hour, and those that wait or are done in part.
create index jobs_deleted_idx on provisioning.jobs (finished_at)
    where kind = 'deprovision' and state in ('pending', 'dead', 'paused', 'succeeded') and not deletion_confirmed;

-- Takes a table out of publications: their names, with the columns and the rows that they had of it, null for all.
-- A publication of a role that the function's owner is no member of keeps it. As publish, a definer
-- for tables of the caller's own.
create function provisioning.unpublish(relation regclass)
returns table (publication name, columns text[], filter text)
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not exists (select from pg_catalog.pg_class c
                   where c.oid = relation and pg_has_role(session_user, c.relowner, 'USAGE')) then
        raise exception '% is no table of role %', relation, session_user
            using errcode = 'insufficient_privilege';
    end if;
    for publication, columns, filter in
        select p.pubname,
            case when r.prattrs is not null then array(
                select a.attname::text from pg_catalog.pg_attribute a
                where a.attrelid = relation and a.attnum = any (r.prattrs::int2[]) order by a.attnum) end,
            pg_get_expr(r.prqual, r.prrelid)
        from pg_catalog.pg_publication_rel r join pg_catalog.pg_publication p on p.oid = r.prpubid
        where r.prrelid = relation and pg_has_role(current_user, p.pubowner, 'USAGE')
    loop
        execute format('alter publication %I drop table %s', publication, relation);
        return next;
    end loop;
end $$;

-- The statement that gives back one thing that was taken off a table; null where the entry is not complete.
-- Each name is quoted and each keyword comes from here, for the worker's role writes the entries and an
-- operator's session runs the statements. A row filter and a whole definition are text as it stands: their
-- statements are for a person to read, and are never run.
create function provisioning.regain_statement(entry jsonb) returns text
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
            'alter table ' || o.relation || ' add constraint ' || quote_ident(entry ->> 'key') || ' '
            || coalesce(entry ->> 'definition', 'foreign key (' || o.columns || ') references '
            || quote_ident(entry ->> 'refers_to_schema') || '.' || quote_ident(entry ->> 'refers_to')
            || ' (' || o.refers_to_columns || ')'
            || case entry ->> 'match' when 'f' then ' match full' else '' end
            || coalesce(' on update ' || o.on_update, '')
            || coalesce(' on delete ' || o.on_delete || coalesce(' (' || o.set_columns || ')', ''), '')
            || case when (entry ->> 'deferrable')::boolean then ' deferrable' else '' end
            || case when (entry ->> 'deferred')::boolean then ' initially deferred' else '' end)
        when 'publication' then
            case when entry ->> 'columns' is null and entry ->> 'filter' is null
                then format('select provisioning.publish(%L, %L)', o.relation, entry ->> 'publication')
                else 'alter publication ' || quote_ident(entry ->> 'publication') || ' add table ' || o.relation
                    || coalesce(' (' || o.columns || ')', '') || coalesce(' where (' || (entry ->> 'filter') || ')', '')
            end
    end
    from (
        select quote_ident(entry ->> 'schema') || '.' || quote_ident(entry ->> 'name') as relation,
            l.names[1] as columns, l.names[2] as refers_to_columns, l.names[3] as set_columns,
            a.words[1] as on_update, a.words[2] as on_delete
        from (select array(
                  select (select string_agg(quote_ident(c.name), ', ' order by c.place)
                          from jsonb_array_elements_text(
                              case when jsonb_typeof(entry -> f.field) = 'array' then entry -> f.field end)
                              with ordinality c (name, place))
                  from unnest('{columns,refers_to_columns,set_columns}'::text[]) with ordinality f (field, place)
                  order by f.place) as names) l,
             (select array(
                  select case entry ->> f.field when 'r' then 'restrict' when 'c' then 'cascade'
                              when 'n' then 'set null' when 'd' then 'set default' end
                  from unnest('{on_update,on_delete}'::text[]) with ordinality f (field, place)
                  order by f.place) as words) a
    ) o
$$;

-- Adds a foreign key back; whether all rows have a partner. Where they have not, the key holds for new rows only
-- (NOT VALID). Row security that is forced on the tables' owner would hide the rows from the check.
create function provisioning.regain_key(entry jsonb) returns boolean
    language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    statement constant text := provisioning.regain_statement(entry);
    relation  constant regclass := format('%I.%I', entry ->> 'schema', entry ->> 'name')::regclass;
    forced    constant boolean := (select c.relforcerowsecurity from pg_catalog.pg_class c where c.oid = relation);
    holds     boolean := true;
begin
    if forced then
        execute format('alter table %s no force row level security', relation);
    end if;
    if not (entry ->> 'valid')::boolean then
        execute statement || ' not valid';      -- as it was
    else
        begin
            execute statement;
        exception when foreign_key_violation then
            execute statement || ' not valid';
            holds := false;
        end;
    end if;
    if forced then
        execute format('alter table %s force row level security', relation);
    end if;
    return holds;
end $$;

revoke all on function provisioning.unpublish(regclass) from public, anon, authenticated, service_role;
revoke all on function provisioning.regain_statement(jsonb) from public, anon, authenticated, service_role;
revoke all on function provisioning.regain_key(jsonb) from public, anon, authenticated, service_role;
