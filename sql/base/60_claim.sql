-- What the worker asks again and again and what is dear to plan, as functions: a session keeps their
-- plans. To plan the claim anew each time took several times as long as to run it, and prepared
-- statements are no way out, since a transaction-mode pooler hands them to others.
--
-- A plan may be as old as the session, and the queue empty then, or never analyzed: so each
-- step is to find its rows by an index, in the order in which they are asked for, and `state || ''`
-- keeps what is looked up by id off the partial indexes.

-- The due jobs that nothing holds up, the first to do first; whether there are no others; and whether
-- what was looked at belongs to several prefixes.
-- Head of line: the first pending, dead or paused job of a prefix holds up all others, except the deprovision of
-- its own agent, which cancels it. (While a job runs, nobody else gets into its prefix.)
-- Its plans are made under the settings of claim and next_due, which call it.
-- kinds: what this worker takes now; unknown ones wait for a newer program
-- templates: its template version; upgrades beyond it wait for a worker that has the files
-- max_scan: how many of the oldest due jobs to look at. Null: the first open job of every prefix, for any
--   number may wait behind one.
create or replace function provisioning.claimable_jobs(
    kinds text[], templates integer, max_scan integer,
    out ids bigint[], out scanned_all boolean, out spans_prefixes boolean
)
    language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    near bigint[];
begin
    if max_scan is null then
        ids := array(
            with recursive head (id, agent_id, agent_prefix) as (
                (
                    select f.id, f.agent_id, f.agent_prefix
                    from provisioning.jobs f
                    where f.state in ('pending', 'dead', 'paused')
                    order by f.agent_prefix, f.id
                    limit 1
                )
                union all
                select f.id, f.agent_id, f.agent_prefix
                from head last
                cross join lateral (
                    select f.id, f.agent_id, f.agent_prefix
                    from provisioning.jobs f
                    where f.state in ('pending', 'dead', 'paused') and f.agent_prefix > last.agent_prefix
                    order by f.agent_prefix, f.id
                    limit 1
                ) f
            )
            select j.id
            from head
            cross join lateral (
                select o.* from provisioning.jobs o where o.id = head.id and o.state || '' = 'pending'
                union all
                select o.* from provisioning.jobs o
                where o.agent_id = head.agent_id and o.agent_prefix = head.agent_prefix and o.id <> head.id
                  and o.kind = 'deprovision'
                  and o.state || '' = 'pending'
            ) j
            where j.run_at <= now() and j.kind = any (kinds)
              and (j.template_version is null or j.template_version <= templates)
            order by j.priority, j.run_at, j.id
        );
        scanned_all := true;
        return;
    end if;
    near := array(
        select n.id
        from provisioning.jobs n
        where n.state = 'pending'
          and n.run_at <= now()
          and n.kind = any (kinds)
          and (n.template_version is null or n.template_version <= templates)
        order by n.priority, n.run_at, n.id
        limit max_scan
    );
    select
        coalesce(array_agg(j.id order by t.place) filter (where head.free), '{}'),
        min(j.agent_prefix) < max(j.agent_prefix)
    into ids, spans_prefixes
    from unnest(near) with ordinality t (id, place)
    join provisioning.jobs j on j.id = t.id
    cross join lateral (
        -- The first open job of the prefix, by the only index in this order: a probe for "an
        -- earlier one" may be planned as a scan of all jobs.
        select e.id = j.id or (j.kind = 'deprovision' and e.agent_id = j.agent_id) as free
        from provisioning.jobs e
        where e.state in ('pending', 'dead', 'paused') and e.agent_prefix >= j.agent_prefix
        order by e.agent_prefix, e.id
        limit 1
    ) head;
    scanned_all := cardinality(near) < max_scan;
end $$;

-- Which job waits for which, for people and metrics: the same rule as in claimable_jobs, which needs it in another form.
-- A pending job waits for every earlier open one of its prefix. But a deprovision waits for none, where the prefix's
-- first open job is of the same agent.
create or replace view provisioning.job_waits with (security_invoker = true) as
select w.id as job, e.id as earlier, e.kind as earlier_kind, e.state as earlier_state
from provisioning.jobs w
join provisioning.jobs e
    on e.agent_prefix = w.agent_prefix and e.id < w.id and e.state in ('pending', 'dead', 'paused')
where w.state = 'pending'
  and not (w.kind = 'deprovision' and w.agent_id = (
      select h.agent_id from provisioning.jobs h
      where h.agent_prefix = w.agent_prefix and h.state in ('pending', 'dead', 'paused') order by h.id limit 1));

-- Under whose hash of a prefix a session has that prefix, as an advisory lock. The number only keeps off others' locks.
create or replace function provisioning.prefix_lock_seed() returns bigint
    language sql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
    select 7018690069354541686
$$;

-- The first due job that nothing holds up and nobody else has in hands; it and its prefix are locked until
-- the transaction ends. A definer: a row lock asks for the right to write, which the worker's role does not have.
-- kinds and templates: as above
-- newest: the schema that the worker knows; on a newer one it takes nothing more on
create or replace function provisioning.claim(kinds text[], newest integer, templates integer)
returns table (
    id bigint, kind text, agent_id bigint, agent_prefix text, user_id text, attempts integer,
    force boolean, wanted_version integer, wanted_reference text, keys_removed boolean,
    unreported boolean, deletion_confirmed boolean,
    plan text,                      -- the checksum of what this repair may run; null: anything
    waited double precision,        -- seconds since it could have run first
    superseded boolean,             -- its agent is to go: building would be for nothing
    registered bigint, template_version integer, reference text, -- whose tables the prefix stands for now
    kept bigint,                    -- the cancelled deletion that keeps the tables of another agent there
    more boolean                    -- whether another worker may find something, too
)
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off
    set plan_cache_mode = force_generic_plan
    set enable_seqscan = off set enable_bitmapscan = off
    set enable_hashjoin = off set enable_mergejoin = off set enable_sort = off set jit = off as $$
#variable_conflict use_column
declare
    max_scan integer := 16;
    claimable record;
    candidate bigint;
    head provisioning.jobs;
begin
    loop
        claimable := provisioning.claimable_jobs(kinds, templates, max_scan);
        foreach candidate in array claimable.ids loop
            begin
                -- The prefix, too: an id is drawn before its job can be seen, so what seems the
                -- first of its prefix may not stay it.
                select j.* into strict head
                from provisioning.jobs j
                where j.id = candidate
                  and case when j.state = 'pending' and j.run_at <= now() then
                      pg_try_advisory_xact_lock(hashtextextended(j.agent_prefix, provisioning.prefix_lock_seed()))
                  end
                for update skip locked;
                exit;
            exception when no_data_found then
                head := null;       -- and a prefix that was locked in vain is free again
            end;
        end loop;
        exit when head.id is not null or claimable.scanned_all;
        -- All in other workers' hands, or held up in several prefixes: look further. All held up in
        -- one, where any number may be: look elsewhere.
        max_scan := case when max_scan < 1024 and (claimable.ids <> '{}' or claimable.spans_prefixes) then max_scan * 8 end;
    end loop;
    -- Behind the look: whoever sees a newer program's job sees its migration, too.
    if head.id is null or exists (select from provisioning.migrations m where m.version > newest) then
        return;
    end if;
    -- Behind the lock: what an earlier job has done is seen.
    return query
    select
        head.id, head.kind, head.agent_id, head.agent_prefix, head.user_id::text, head.attempts,
        head.force, head.template_version, head.reference, head.keys_removed, head.unreported, head.deletion_confirmed,
        case when not head.plan_begun then head.plan end,
        case when isfinite(head.due_at) then extract(epoch from clock_timestamp() - head.due_at)::float8 else 0 end,
        exists (
            select from provisioning.jobs d
            where d.agent_id = head.agent_id and d.id > head.id and d.kind = 'deprovision'
              and d.state || '' = 'pending'
        ),
        r.agent_id, r.template_version, r.reference, r.kept,
        cardinality(claimable.ids) > 1 or not claimable.scanned_all
    from (values (1)) one
    left join lateral (
        select a.agent_id, a.template_version, a.reference, (
            select max(k.id) from provisioning.jobs k
            where k.agent_id = a.agent_id and k.agent_id <> head.agent_id
              and k.kind = 'deprovision' and k.state = 'cancelled') as kept
        from provisioning.agents a
        where a.agent_prefix = head.agent_prefix
    ) r on true;
end $$;

-- Jobs that were scheduled before the server's clock was set back are due now: they would wait until the
-- clock is where it was. Returns how many. The worker's own waits are at most 10 minutes; a later run_at is a
-- date that a person chose, and stays.
create or replace function provisioning.end_clock_waits() returns bigint
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off
    set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    ended bigint;
begin
    with late as (
        select j.id
        from provisioning.jobs j
        where j.state = 'pending'
          and j.run_at > now()
          and greatest(j.scheduled_at, j.created_at) > clock_timestamp() + interval '1 second'
          and j.run_at < greatest(j.scheduled_at, j.created_at) + interval '15 minutes'
        for update skip locked
    )
    update provisioning.jobs j
    set run_at = now(), scheduled_at = now(), created_at = least(j.created_at, now()), due_at = least(j.due_at, now())
    from late l
    where l.id = j.id;
    get diagnostics ended = row_count;
    return ended;
end $$;

-- When to look again, after a claim that found nothing: null for never, 0 for soon, since a job is due
-- and in another worker's hands. The wait may be too short (what is not due yet may be held up, too),
-- but never too long.
-- kinds and templates: as above
create or replace function provisioning.next_due(kinds text[], templates integer)
returns table (
    wait double precision,
    version integer                 -- for a program that may be older than the schema by now
)
    language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
    set enable_seqscan = off set enable_bitmapscan = off
    set enable_hashjoin = off set enable_mergejoin = off set enable_sort = off set jit = off as $$
declare
    max_scan integer;
    claimable record;
    ahead double precision;
    set_back boolean;       -- the server's clock, after a job was scheduled
begin
    foreach max_scan in array array[16, null] loop
        claimable := provisioning.claimable_jobs(kinds, templates, max_scan);
        exit when claimable.ids <> '{}' or claimable.scanned_all;
    end loop;
    if claimable.ids <> '{}' then
        ahead := 0;
    else
        select extract(epoch from min(l.run_at) - clock_timestamp()),
            bool_or(greatest(l.scheduled_at, l.created_at) > clock_timestamp() + interval '1 second')
        into ahead, set_back
        from provisioning.jobs l
        where l.state = 'pending' and l.run_at > now() and l.run_at < 'infinity' and l.kind = any (kinds)
          and (l.template_version is null or l.template_version <= templates);
        if set_back and provisioning.end_clock_waits() > 0 then
            ahead := 0;
        end if;
    end if;
    return query
    select ahead, coalesce((select max(m.version) from provisioning.migrations m), 0);
end $$;

-- Whether this transaction has made a table or a type: the tie to its schema is younger than any commit. Names prove nothing,
-- for somebody may have put another table in the place of one that was looked at.
-- catalog: pg_class or pg_type
create or replace function provisioning.made_here(catalog regclass, object oid) returns boolean
    language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    own constant bigint := pg_current_xact_id()::text::bigint;
    made bigint;
begin
    select d.xmin::text::bigint into made
    from pg_catalog.pg_depend d
    where d.classid = catalog and d.objid = object and d.objsubid = 0
      and d.refclassid = 'pg_catalog.pg_namespace'::regclass;
    -- A savepoint has a number of its own, which comes after the transaction's. What is visible and not committed is ours.
    return coalesce(pg_xact_status((own + ((made - own) & 4294967295))::text::xid8) = 'in progress', false);
exception when invalid_parameter_value then
    return false;       -- so old that its number is to come again
end $$;

-- Registers the tables and types that this transaction has made for a registered agent, and forgets what is gone of
-- those registered before: what was dropped and made anew goes by a new oid. After a restore from a dump
-- that may be an oid which is still registered under the name of something long gone. An agent that is
-- not registered gets nothing. What somebody else has made under one of the names stays unregistered.
create or replace function provisioning.register(agent bigint, tables text[], types text[]) returns void
    language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
    set enable_seqscan = off set enable_bitmapscan = off
    set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
declare
    made_types oid[];
    made_tables oid[];
    lost text;
begin
    delete from provisioning.agent_tables t
    where t.agent_id = agent
      and not exists (select from pg_catalog.pg_class c where c.oid = t.relation);
    delete from provisioning.agent_types t
    where t.agent_id = agent
      and not exists (select from pg_catalog.pg_type y where y.oid = t.type);
    select array_agg(y.oid) into made_types
    from pg_catalog.pg_type y
    where y.typname = any (types) and y.typnamespace = 'public'::regnamespace and y.typtype = 'e'
      and not exists (
          select from provisioning.agent_types t where t.type = y.oid and t.type_name = y.typname)
      and provisioning.made_here('pg_catalog.pg_type'::regclass, y.oid);
    select array_agg(c.oid) into made_tables
    from pg_catalog.pg_class c
    where c.relname = any (tables) and c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
      -- A table that was given to another role stays registered, and could not be registered anew.
      and not exists (
          select from provisioning.agent_tables t where t.relation = c.oid and t.table_name = c.relname)
      and provisioning.made_here('pg_catalog.pg_class'::regclass, c.oid);
    insert into provisioning.agent_types (type, agent_id, type_name)
    select y.oid::regtype, a.agent_id, y.typname
    from provisioning.agents a
    join pg_catalog.pg_type y on y.oid = any (made_types)
    where a.agent_id = agent
    on conflict (type) do update set agent_id = excluded.agent_id, type_name = excluded.type_name
    where agent_types.type_name <> excluded.type_name;
    insert into provisioning.agent_tables (relation, agent_id, table_name)
    select c.oid::regclass, a.agent_id, c.relname
    from provisioning.agents a
    join pg_catalog.pg_class c on c.oid = any (made_tables)
    where a.agent_id = agent
    on conflict (relation) do update set agent_id = excluded.agent_id, table_name = excluded.table_name
    where agent_tables.table_name <> excluded.table_name;
    -- What row security or a rule swallowed would be dropped by nobody, and in the way for ever.
    select string_agg(c.oid::regclass::text, ', ') into lost
    from pg_catalog.pg_class c
    where c.oid = any (made_tables)
      and exists (select from provisioning.agents a where a.agent_id = agent)
      and not exists (
          select from provisioning.agent_tables t where t.relation = c.oid and t.agent_id = agent);
    if lost is not null then
        raise exception 'the registry did not take %', lost
            using errcode = 'AP001',
                  hint = 'Look for a rule, a trigger or a policy on provisioning.agent_tables.';
    end if;
end $$;

-- Refuses a transaction that sees the past. In it an agent that was put back would look like a deleted one.
create or replace function provisioning.require_present() returns void
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if current_setting('transaction_isolation') in ('repeatable read', 'serializable') then
        raise exception 'that an agent is gone is to be asked at isolation level read committed'
            using errcode = 'invalid_transaction_state';
    end if;
end $$;

-- A provision has found the tables of a former agent under its prefix: they go first, by a job of their
-- own, so that the deletion limit, the trash, the log and the metrics see it. The provision goes back
-- into the queue behind that job, under a new id: within a prefix the order is that of the ids. That the former
-- agent is gone is proven here.
create or replace function provisioning.requeue_behind_former(job bigint, former bigint) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off
    set enable_seqscan = off as $$
declare
    old provisioning.jobs;
begin
    perform provisioning.require_present();
    update provisioning.jobs j
    set state = 'succeeded', outcome = 'requeued', finished_at = clock_timestamp()
    where j.id = job and j.kind = 'provision' and j.state || '' = 'pending' and j.agent_id <> former
      and exists (select from provisioning.agents p where p.agent_id = former and p.agent_prefix = j.agent_prefix)
    returning j.* into old;
    if not found or exists (select from provisioning.living_agents(array[former])) or exists (
        select from provisioning.jobs k
        where k.agent_id = former and k.kind = 'deprovision' and k.state = 'cancelled')
    then
        raise exception 'job % does not wait for the tables of a former agent %', job, former
            using errcode = 'object_not_in_prerequisite_state';
    end if;
    perform provisioning.note_attempt(
        job, 'succeeded', extract(epoch from clock_timestamp() - now())::float8, old.outcome, null);
    insert into provisioning.jobs (kind, agent_id, agent_prefix, unreported)
    select 'deprovision', former, old.agent_prefix, not exists (
        select from provisioning.deleted_agents d where d.agent_id = former)
    where not exists (
        select from provisioning.jobs o
        where o.agent_id = former and o.kind = 'deprovision' and o.state in ('pending', 'dead', 'paused'))
    on conflict (agent_id, kind) where state = 'pending' do nothing;
    insert into provisioning.jobs (kind, agent_id, agent_prefix, user_id, priority, unreported, due_at)
    values (old.kind, old.agent_id, old.agent_prefix, old.user_id, old.priority, true, old.due_at)
    on conflict (agent_id, kind) where state = 'pending' do nothing;
end $$;
