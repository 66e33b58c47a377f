-- Whether an agent is gone, asked in a way that row security cannot filter.
--
-- To the worker's role a row that a policy hides looks like a deleted row, and the worker drops the tables
-- of deleted agents. These functions run as the owner of the schema with row_security = off: where a
-- policy would hide a row from the owner too (row security is forced), they raise 42501 and do not
-- answer. So an answer is a proof.

-- The agents that exist: those of these ids, or all where `ids` is null.
create function provisioning.living_agents(ids bigint[] default null)
returns table (id bigint, agent_prefix text, user_id uuid, created_by uuid, created_at timestamptz)
    language plpgsql stable security definer
    set search_path = pg_catalog, pg_temp set row_security = off as $$
#variable_conflict use_column
begin
    if ids is null then
        return query
        select a.id, a.agent_prefix::text, a.user_id, a.created_by, a.created_at from public.agents a;
    else
        return query
        select a.id, a.agent_prefix::text, a.user_id, a.created_by, a.created_at from public.agents a
        where a.id = any (ids);
    end if;
end $$;

-- Keeps an agent from being deleted until the transaction ends. False: there is no such agent.
create function provisioning.hold_agent(agent_id bigint, prefix text) returns boolean
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp set row_security = off as $$
#variable_conflict use_variable
begin
    perform from public.agents a where a.id = agent_id and a.agent_prefix = prefix for key share;
    return found;
end $$;

-- An emptied table of agents looks like the deletion of all of them. Fires for TRUNCATE … CASCADE, too.
create function provisioning.refuse_truncate() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if coalesce(current_setting('provisioning.allow_truncate', true), '') = 'on' then
        return null;
    end if;
    raise exception 'TRUNCATE of public.agents would delete all agents'
        using errcode = 'object_not_in_prerequisite_state',
              hint = 'To delete agents use DELETE. If you mean it: '
                  'set provisioning.allow_truncate = on; then TRUNCATE in the same session.';
end $$;

create trigger refuse_truncate before truncate on public.agents
    for each statement execute function provisioning.refuse_truncate();

revoke all on function provisioning.living_agents(bigint[]) from public, anon, authenticated, service_role;
revoke all on function provisioning.hold_agent(bigint, text) from public, anon, authenticated, service_role;
revoke all on function provisioning.refuse_truncate() from public, anon, authenticated, service_role;
