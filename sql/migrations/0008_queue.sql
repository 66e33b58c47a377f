-- What the worker asks of the queue, as functions: a session keeps their plans. To plan the claim anew
-- each time took several times as long as to run it, and prepared statements are no way out, since a
-- transaction-mode pooler hands them to others.
--
-- A plan is as old as the session, and the queue may have been empty then, or never analyzed: so each
-- step is to find its rows by an index, in the order in which they are asked for, and `state || ''`
-- keeps what is looked up by id off the partial indexes.

-- The due jobs that nothing holds up, the first to do first.
-- Head of line: an earlier pending or dead job of the same prefix holds up what comes after it.
-- A deprovision does not wait for its own agent's other jobs; it cancels them.
-- Only so many of the oldest due jobs are looked at, however many stand behind one of them. Where most
-- of those are held up, the first jobs of all prefixes are looked at, too. Sixteen are enough for as
-- many workers.
-- Its plans are made under the settings of the two functions below, which call it.
-- kinds: what this worker takes now; unknown ones wait for a newer program
-- templates: its template version; upgrades beyond it wait for a worker that has the files
create function provisioning.due(kinds text[], templates integer) returns bigint[]
    language plpgsql set search_path = '' as $$
declare
    near bigint[];
    free bigint[];
begin
    near := array(
        select n.id
        from provisioning.jobs n
        where n.state = 'pending'
          and n.run_at <= now()
          and n.kind = any (kinds)
          and not (n.kind = 'upgrade' and n.argument ~ '^[0-9]{1,9}$' and n.argument::int > templates)
        order by n.priority, n.run_at, n.id
        limit 32
    );
    free := array(
        select j.id
        from unnest(near) with ordinality t (id, place)
        join provisioning.jobs j on j.id = t.id
        where (
            -- The first open job of the prefix, by the only index in this order: a probe for "an
            -- earlier one" may be planned as a scan of all jobs.
            select e.agent_prefix = j.agent_prefix and e.id < j.id
            from provisioning.jobs e
            where e.state in ('pending', 'dead')
              and e.agent_prefix >= j.agent_prefix
              and not (j.kind = 'deprovision' and e.agent_id = j.agent_id)
            order by e.agent_prefix, e.id
            limit 1
        ) is not true
        order by t.place
        limit 16
    );
    if cardinality(near) < 32 or cardinality(free) = 16 then
        return free;
    end if;
    return free || array(
        with recursive head (id, agent_id, agent_prefix) as (
            -- From prefix to prefix, each one's first job: any number may wait behind it.
            (
                select f.id, f.agent_id, f.agent_prefix
                from provisioning.jobs f
                where f.state in ('pending', 'dead')
                order by f.agent_prefix, f.id
                limit 1
            )
            union all
            select f.id, f.agent_id, f.agent_prefix
            from head last
            cross join lateral (
                select f.id, f.agent_id, f.agent_prefix
                from provisioning.jobs f
                where f.state in ('pending', 'dead') and f.agent_prefix > last.agent_prefix
                order by f.agent_prefix, f.id
                limit 1
            ) f
        )
        select j.id
        from head
        cross join lateral (
            select o.* from provisioning.jobs o where o.id = head.id and o.state || '' = 'pending'
            union
            select o.* from provisioning.jobs o
            where o.agent_id = head.agent_id and o.kind = 'deprovision' and o.state || '' = 'pending'
        ) j
        where j.run_at <= now() and j.kind = any (kinds) and j.id <> all (free)
          and not (j.kind = 'upgrade' and j.argument ~ '^[0-9]{1,9}$' and j.argument::int > templates)
        order by j.priority, j.run_at, j.id
        limit 32
    );
end $$;

-- The first due job that nothing holds up and nobody else has in hands; it and its prefix are locked until
-- the transaction ends.
-- kinds and templates: as above
-- newest: the schema that the worker knows; on a newer one it takes nothing more on
create function provisioning.claim(kinds text[], newest integer, templates integer)
returns table (
    id bigint, kind text, agent_id bigint, agent_prefix text, user_id text, attempts integer,
    argument text, confirmed boolean,
    superseded boolean,             -- its agent is to go: building would be for nothing
    registered bigint, template_version integer, reference text, -- whose tables the prefix stands for now
    more boolean                    -- whether another worker may find something, too
)
    language plpgsql set search_path = '' set plan_cache_mode = force_generic_plan
    set enable_seqscan = off set enable_bitmapscan = off
    set enable_hashjoin = off set enable_mergejoin = off set enable_sort = off set jit = off as $$
#variable_conflict use_column
declare
    due constant bigint[] := provisioning.due(kinds, templates);
begin
    -- Behind the look: whoever sees a newer program's job sees its migration, too.
    if due = '{}' or exists (select from provisioning.migrations m where m.version > newest) then
        return;
    end if;
    return query
    with head as materialized (
        select j.*
        from (
            select t.id, t.place from unnest(due) with ordinality t (id, place) order by t.place
        ) near
        join provisioning.jobs j on j.id = near.id
        where j.state || '' = 'pending' and j.run_at <= now()
          -- An id is drawn before its job can be seen, so what seems the first may not stay it.
          and pg_try_advisory_xact_lock(hashtextextended(j.agent_prefix, 7018690069354541686))
        order by near.place
        limit 1
        for update of j skip locked
    )
    select
        h.id, h.kind, h.agent_id, h.agent_prefix, h.user_id::text, h.attempts, h.argument, h.confirmed,
        exists (
            select from provisioning.jobs d
            where d.agent_id = h.agent_id and d.id > h.id and d.kind = 'deprovision'
              and d.state || '' = 'pending'
        ),
        r.agent_id, r.template_version, r.reference,
        cardinality(due) > 1
    from head h
    left join lateral (
        -- Those whose deletion somebody cancelled are nobody's: they are in the way, and stay.
        select a.agent_id, a.template_version, a.reference from provisioning.agents a
        where a.agent_prefix = h.agent_prefix
          and (a.agent_id = h.agent_id or not exists (
              select from provisioning.jobs k
              where k.agent_id = a.agent_id and k.kind = 'deprovision' and k.state = 'cancelled'))
    ) r on true;
end $$;

-- When to look again, after a claim that found nothing: null for never, 0 for soon, since a job is due
-- and in another worker's hands. The wait may be too short (what is not due yet may be held up, too),
-- but never too long.
-- kinds and templates: as above
create function provisioning.next_due(kinds text[], templates integer)
returns table (
    wait double precision,
    version integer                 -- for a program that may be older than the schema by now
)
    language plpgsql set search_path = '' set plan_cache_mode = force_generic_plan
    set enable_seqscan = off set enable_bitmapscan = off
    set enable_hashjoin = off set enable_mergejoin = off set enable_sort = off set jit = off as $$
begin
    return query
    select
        case when provisioning.due(kinds, templates) <> '{}' then 0
             else (
                 select extract(epoch from min(l.run_at) - clock_timestamp())::float8
                 from provisioning.jobs l
                 where l.state = 'pending' and l.run_at > now() and l.kind = any (kinds)
                   and not (l.kind = 'upgrade' and l.argument ~ '^[0-9]{1,9}$'
                            and l.argument::int > templates)
             )
        end,
        coalesce((select max(m.version) from provisioning.migrations m), 0);
end $$;

revoke all on function provisioning.due(text[], integer)
    from public, anon, authenticated, service_role;
revoke all on function provisioning.claim(text[], integer, integer)
    from public, anon, authenticated, service_role;
revoke all on function provisioning.next_due(text[], integer)
    from public, anon, authenticated, service_role;
