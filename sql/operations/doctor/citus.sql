-- Citus, if it is installed: its version, which roles of the API cannot log in, as they do on workers, and whether the
-- worker's role may make triggers on tables that are spread.
select e.extversion::text as version,
    array(select r.rolname::text from pg_catalog.pg_roles r
          where r.rolname in ('anon', 'authenticated', 'service_role') and not r.rolcanlogin
          order by r.rolname) as no_login,
    exists (select from pg_catalog.pg_db_role_setting s
            where s.setrole in (0, to_regrole('agent_provisioner'))
              and s.setconfig && '{citus.enable_unsafe_triggers=on,citus.enable_unsafe_triggers=true}') as triggers
from pg_catalog.pg_extension e
where e.extname = 'citus'
