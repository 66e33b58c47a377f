-- Deletions that can be undone, and deletions that somebody has to confirm.

-- Where the tables of deleted agents wait. Nobody but the worker's role has any right here.
create schema provisioning_trash;
revoke all on schema provisioning_trash from public, anon, authenticated, service_role;

-- What it takes to bring an agent back. The same agent may be here more than once.
create table provisioning.trash (
    item             bigint generated always as identity primary key,
    agent_id         bigint not null,
    agent_prefix     text not null,
    user_id          uuid,
    created_by       uuid,
    created_at       timestamptz,       -- null where nobody reported it
    template_version integer not null,
    reference        text not null check (reference in ('foreign_key', 'check')),
    provisioned_at   timestamptz not null,
    -- Whether the deletion switched the user's WhatsApp configuration off.
    whatsapp         boolean not null default false,
    -- Statements that give back what was taken off the tables. Run as the tables' owner.
    regain           text[] not null,
    trashed_at       timestamptz not null default now(),
    purge_at         timestamptz not null
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

alter table provisioning.trash enable row level security;
alter table provisioning.trash_relations enable row level security;
revoke all on provisioning.trash, provisioning.trash_relations
    from public, anon, authenticated, service_role;
revoke all on sequence provisioning.trash_item_seq from public, anon, authenticated, service_role;
create policy no_api_access on provisioning.trash for all to authenticated using (false);
create policy no_api_access on provisioning.trash_relations for all to authenticated using (false);

-- Set by an operator's approval, and by no API function: asking for a deletion again does not confirm it.
alter table provisioning.jobs add column deletion_confirmed boolean not null default false;
-- Counts the unconfirmed deletions of the last hour, and those that wait.
create index jobs_deleted_idx on provisioning.jobs (finished_at)
    where kind = 'deprovision' and state in ('pending', 'paused', 'succeeded') and not deletion_confirmed;

-- Takes a table out of publications; their names. A publication of a role that the function's owner
-- is no member of keeps it. As publish, a definer for tables of the caller's own.
create function provisioning.unpublish(relation regclass) returns setof name
    language plpgsql security definer set search_path = '' as $$
declare
    publication name;
begin
    if not exists (select from pg_catalog.pg_class c
                   where c.oid = relation and pg_has_role(session_user, c.relowner, 'USAGE')) then
        raise exception '% is no table of role %', relation, session_user
            using errcode = 'insufficient_privilege';
    end if;
    for publication in
        select p.pubname
        from pg_catalog.pg_publication_rel r join pg_catalog.pg_publication p on p.oid = r.prpubid
        where r.prrelid = relation and pg_has_role(current_user, p.pubowner, 'USAGE')
    loop
        execute format('alter publication %I drop table %s', publication, relation);
        return next publication;
    end loop;
end $$;
revoke all on function provisioning.unpublish(regclass)
    from public, anon, authenticated, service_role;
