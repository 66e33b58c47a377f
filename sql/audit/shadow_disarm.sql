-- The statements that leave a role without any power, for one that cannot be dropped.
-- $1 role
select format('alter role %I nologin nocreatedb nocreaterole noreplication nobypassrls password null', $1)
union all
select format('revoke %s from %I granted by %s cascade', m.roleid::regrole, $1, m.grantor::regrole)
from pg_catalog.pg_auth_members m
where m.member = $1::regrole
