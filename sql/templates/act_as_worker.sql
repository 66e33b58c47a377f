-- Lets what this transaction makes from here on be the worker's, where the caller may act for the worker's role: then
-- owner and default privileges are the same, whoever asks. Whether the role has changed. An agent with tables of another
-- owner is left to the caller.
-- $1 agent, null: none
select pg_catalog.set_config('role', r.rolname, true) is not null as changed
from pg_catalog.pg_policy p
join pg_catalog.pg_roles r on r.oid = p.polroles[1]
where p.polrelid = 'provisioning.jobs'::regclass and p.polname = 'worker'
  and r.rolname <> current_user
  and pg_catalog.pg_has_role(session_user, r.oid, case
      when current_setting('server_version_num')::integer < 160000 then 'MEMBER' else 'SET' end)
  -- Else deploy/roles.sql has to run again before the role can build.
  and has_function_privilege(r.oid, 'provisioning.refer_to_agents(jsonb)', 'execute')
  and not exists (
      select from provisioning.agent_tables t
      join pg_catalog.pg_class c on c.oid = t.relation
      where t.agent_id = $1 and c.relowner <> r.oid)
