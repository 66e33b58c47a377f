-- What Citus needs once on the coordinator, as a superuser: after deploy/roles.sql, before the first agent. docs/citus.md
-- Then let the coordinator's and the workers' pg_hba.conf admit these roles from each other, and from nowhere else.

-- Citus goes to a worker as the role of the query.
alter role anon login;
alter role authenticated login;
alter role service_role login;
alter role authenticator set citus.propagate_set_commands = 'local';
-- The triggers of an agent's tables use these tables only, which are on the same worker.
alter role agent_provisioner set citus.enable_unsafe_triggers = on;

-- PostgREST calls it before each request: `db-pre-request = "public.pre_request"`. It runs on the coordinator, and says
-- whose agent's rows the request may see. A worker is told what is set locally, and not what set_config() set.
-- Only a user of one agent has an agent here: members of several are for the built-in templates.
create or replace function public.pre_request() returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    who text;
begin
    if provisioning.is_admin() then
        who := 'admin';
    else
        select a.id::text into who from public.agents a where a.user_id = auth.uid();
    end if;
    execute pg_catalog.format('set local request.jwt.claims = %L',
                              pg_catalog.current_setting('request.jwt.claims', true));
    execute pg_catalog.format('set local app.agent = %L', coalesce(who, ''));
end $$;
revoke all on function public.pre_request() from public;
grant execute on function public.pre_request() to anon, authenticated, service_role;
