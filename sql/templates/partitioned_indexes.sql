-- The indexes of partitioned tables among these.
-- $1 names in schema public
select c.relname::text
from pg_catalog.pg_class c
where c.relnamespace = 'public'::regnamespace and c.relkind = 'I' and c.relname = any ($1)
