-- What the tables of every agent share.

-- The whole ownership check of an agent's tables: the agent's id if the agent is the user's, or the
-- user an admin, or an owner or admin of the agent's business; else null. Not a boolean: policies ask whether it "is not null", which the planner
-- expects to hold, while of a boolean it expects to lose half of the rows, and sorts what an index
-- has in order.
-- A definer, so that it needs no right to read agents and is not subject to the policies there. In
-- PL/pgSQL, which plans it once per session: in SQL it was planned for each query, which cost more
-- than a short query itself. Parallel safe, or no query on an agent's table could use workers.
create or replace function provisioning.owned_agent(agent_id bigint) returns bigint
    language plpgsql stable parallel safe security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform from public.agents a where a.id = owned_agent.agent_id and a.user_id = auth.uid();
    if found or provisioning.is_admin() then
        return agent_id;
    end if;
    perform from public.agents a
    join public.user_businesses m on m.business_id = a.business_id and m.user_id = auth.uid()
    where a.id = owned_agent.agent_id and m.role in ('owner', 'admin');
    if found then
        return agent_id;
    end if;
    return null;
end $$;

-- The same for whoever works with the agent: all of these, and every other member of its business.
create or replace function provisioning.staffed_agent(agent_id bigint) returns bigint
    language plpgsql stable parallel safe security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform from public.agents a
    where a.id = staffed_agent.agent_id
      and (a.user_id = auth.uid()
           or exists (select from public.user_businesses m
                      where m.business_id = a.business_id and m.user_id = auth.uid()));
    if found or provisioning.is_admin() then
        return agent_id;
    end if;
    return null;
end $$;

-- The next id of an agent's table: the default of its serial columns. A bare nextval() needs USAGE on the sequence
-- for all of authenticated, and runs before the policies look at the row: every user could use up the ids of every
-- agent. Whoever has USAGE draws as ever: owner, service_role, a definer of the project's. The caller is an
-- argument, since in here current_user is the schema's owner. Nobody of the API has USAGE on this schema, so for them the
-- default is the only way in. A role that may call this by name could forge the argument: it draws from sequences of
-- registered tables only, or from those that it may draw from anyway.
create or replace function provisioning.next_id(agent_id bigint, sequence regclass, caller name) returns bigint
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not has_sequence_privilege(session_user, sequence, 'usage') and not exists (
        select from pg_depend d
        join provisioning.agent_tables t on t.relation = d.refobjid and t.agent_id = next_id.agent_id
        where d.classid = 'pg_class'::regclass and d.objid = sequence and d.refclassid = 'pg_class'::regclass
          and d.deptype in ('a', 'i'))
    then
        raise exception '% fills no column of agent %', sequence, agent_id using errcode = 'insufficient_privilege';
    end if;
    if not coalesce(has_sequence_privilege(caller, sequence, 'usage'), false)
       and provisioning.staffed_agent(agent_id) is null then
        raise exception 'only the agent''s user, members of its business and admins may add rows here'
            using errcode = 'insufficient_privilege';
    end if;
    return nextval(sequence);
end $$;

-- UTC also where the column is a timestamp without time zone.
create or replace function provisioning.touch_updated_at() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
begin
    new.updated_at := now();
    return new;
end $$;

-- Keeps orders.total_amount equal to the sum of the order's items. On the items table, one trigger
-- per event, with transition tables "inserted" and "deleted"; the argument is the orders table.
--
-- Two steps, so that concurrent writers add up: first lock the orders, always in the order of
-- their ids (no deadlock) and no stronger than an update of the total does (the foreign key's own
-- locks stay compatible); then sum with a snapshot taken after the wait.
create or replace function provisioning.total_orders() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    items   constant text := format('%I.%I', tg_table_schema, tg_table_name);
    orders  constant text := format('%I.%I', tg_table_schema, tg_argv[0]);
    highest constant numeric := 99999999.99;    -- of numeric(10, 2)
    changed bigint[];
    totals  numeric[];
    locked  bigint;
    culprit record;
begin
    if tg_op = 'TRUNCATE' then
        execute format('update %s set total_amount = 0 where total_amount <> 0', orders);
        return null;
    elsif tg_op = 'INSERT' then
        select array_agg(distinct i.order_id) into changed from inserted i;
    elsif tg_op = 'DELETE' then
        select array_agg(distinct d.order_id) into changed from deleted d;
    else
        -- Items moved or repriced; a changed name alone changes no total.
        select array_agg(distinct c.order_id) into changed
        from (
            (select d.order_id, d.total from deleted d
             except all select i.order_id, i.total from inserted i)
            union all
            (select i.order_id, i.total from inserted i
             except all select d.order_id, d.total from deleted d)
        ) c;
    end if;
    if changed is null then
        return null;
    end if;

    execute format('select from %s where id = any ($1) order by id for no key update', orders)
        using changed;
    get diagnostics locked = row_count;
    if locked = 0 then      -- the items went with their orders
        return null;
    end if;

    execute format(
        'select array_agg(s.id), array_agg(s.total)
           from (select c.id, coalesce(sum(i.total), 0) as total
                   from unnest($1) as c (id) left join %s i on i.order_id = c.id
                  group by c.id) s', items)
        into changed, totals using changed;

    if highest < any (totals) then
        select s.id, s.total into culprit from unnest(changed, totals) as s (id, total)
        order by s.total desc limit 1;
        raise exception 'order % would come to %, but total_amount holds at most %',
            culprit.id, culprit.total, highest
            using errcode = 'numeric_value_out_of_range';
    end if;

    execute format(
        'update %s o set total_amount = s.total
           from unnest($1, $2) as s (id, total)
          where o.id = s.id and o.total_amount is distinct from s.total', orders)
        using changed, totals;
    return null;
end $$;
