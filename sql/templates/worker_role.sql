-- Who is meant to own agents' tables: the role for which deploy/roles.sql made its policy, and
-- without it whoever asks.
select coalesce(
    (select quote_ident(r.rolname)
     from pg_catalog.pg_policy p
     join pg_catalog.pg_roles r on r.oid = p.polroles[1]
     where p.polrelid = 'provisioning.jobs'::regclass and p.polname = 'worker'),
    quote_ident(current_user)
)
