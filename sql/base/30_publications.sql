-- Membership in publications that somebody else owns.

-- Adds a table to a publication, unless it is in it. Its inheritance children are tables of their own. Only the publication's owner may do that, which
-- on Supabase is postgres and not the worker: so this is a definer, for tables of the caller's own.
create or replace function provisioning.publish(relation regclass, publication name default 'supabase_realtime')
returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    target record;
begin
    perform provisioning.refuse_in_trigger();
    select c.oid, c.relowner, n.nspname, c.relname into target
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.oid = relation and c.relkind in ('r', 'p');
    if target is null or not pg_catalog.pg_has_role(session_user, target.relowner, 'USAGE') then
        raise exception '% is no table of role %', relation, session_user
            using errcode = 'insufficient_privilege';
    end if;
    if exists (select from pg_catalog.pg_publication p
               where p.pubname = publication
                 and (p.puballtables or exists (
                     select from pg_catalog.pg_publication_rel r
                     where r.prpubid = p.oid and r.prrelid = target.oid))) then
        return;
    end if;
    execute format('alter publication %I add table only %I.%I', publication, target.nspname, target.relname);
end $$;

-- Takes a table out of publications: their names, with the columns and the rows that they had of it, null for all.
-- A publication of a role that the function's owner is no member of keeps it. As publish, a definer
-- for tables of the caller's own.
create or replace function provisioning.unpublish(relation regclass)
returns table (publication name, columns text[], filter text)
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform provisioning.refuse_in_trigger();
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
        execute format('alter publication %I drop table only %s', publication, relation);
        return next;
    end loop;
end $$;
