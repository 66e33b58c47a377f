-- A foreign key whose columns head no index: each delete of the referenced row reads the table.
select k.conrelid::regclass || '.' || k.conname
from pg_constraint k
where k.contype = 'f' and k.connamespace = any (:schemas)
  and not exists (
      select from pg_index i
      where i.indrelid = k.conrelid and i.indisvalid and i.indpred is null
        and (select array_agg(c order by c) from unnest(k.conkey) c)
          = (select array_agg(c order by c)
             from unnest((i.indkey::int2[])[0:cardinality(k.conkey) - 1]) c)
  )
