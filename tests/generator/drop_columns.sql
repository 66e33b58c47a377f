select format('alter table %s drop column %I cascade', c.oid::regclass, attname)
from pg_class c join pg_attribute a on attrelid = c.oid
where relnamespace = 'public'::regnamespace and relname ^@ '{prefix}_' and relkind in ('r', 'p')
  -- One that rows have to fill in themselves is not made again where there are any.
  and not exists (select from pg_index i where i.indrelid = c.oid and (i.indisunique or i.indisexclusion)
                  and (a.attnum = any (i.indkey) or 0 = any (i.indkey)))
  and not exists (select from pg_constraint k where k.conrelid = c.oid and k.contype = 'f'
                  and a.attnum = any (k.conkey) and atthasdef)
  and attnum > 0 and not attisdropped and (not attnotnull or atthasdef) and attname <> 'id'
  -- What is granted on a table that stands a plain repair leaves as it is.
  and attacl is null
  and abs(hashtext(relname || attname || '{seed}')) % 3 = 0
union all
-- A child that is made again has first what its parent has by now.
select format('drop table %s cascade', i.inhrelid::regclass)
from pg_inherits i join pg_class c on c.oid = i.inhrelid
where relnamespace = 'public'::regnamespace and relname ^@ '{prefix}_' and not relispartition
  -- A check of the parent's that is NOT VALID holds for the rows of a new child.
  and not exists (select from pg_constraint k where k.conrelid = i.inhrelid and k.contype = 'c' and not k.convalidated)
  and abs(hashtext(relname || '{seed}')) % 2 = 0
order by 1
