select c.oid::regclass::text
from pg_class c
where c.relkind in ('r', 'p') and c.relnamespace = any (:schemas)
  and not exists (select from pg_constraint k where k.conrelid = c.oid and k.contype = 'p')
