-- Statements that let the owner empty tables of the scratch prefix, where it has lost the right to, and such that take the right away
-- again.
-- $1 the head of their names
select coalesce(string_agg(format('grant truncate on %s to %s; ', c.oid::regclass, c.relowner::regrole), ''), '') as before,
       coalesce(string_agg(format('; revoke truncate on %s from %s', c.oid::regclass, c.relowner::regrole), ''), '') as after
from pg_catalog.pg_class c
where c.relnamespace = 'public'::regnamespace and c.relname ^@ $1 and c.relkind in ('r', 'p')
  and not has_table_privilege(c.relowner, c.oid, 'truncate')
