-- The tables that partition these or their parents and force row security upon their owner, whose first rows it refuses.
-- $1 tables, qualified and quoted
select distinct c.oid::regclass::text as name
from unnest($1) p (name)
cross join lateral pg_catalog.pg_partition_ancestors(pg_catalog.to_regclass(p.name)) a
join pg_catalog.pg_class c on c.oid = a
where c.relforcerowsecurity
order by 1
