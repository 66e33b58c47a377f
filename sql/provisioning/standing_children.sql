-- The tables just made that have a partition or a child, at any level, which was there before.
-- $1 the tables just made, without their schema
with recursive made as (
    select c.oid from pg_catalog.pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relname = any ($1)
), below as (
    select i.inhparent as top, i.inhrelid as oid from pg_catalog.pg_inherits i where i.inhparent in (select oid from made)
    union
    select b.top, i.inhrelid from below b join pg_catalog.pg_inherits i on i.inhparent = b.oid
)
select distinct format('%I.%I', n.nspname, c.relname) as name
from below b
join pg_catalog.pg_class c on c.oid = b.top
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where b.oid not in (select oid from made)
