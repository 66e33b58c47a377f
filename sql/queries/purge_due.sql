-- What the sweep may purge, a few at a time and in any order: neither the sweep nor the rest waits for those that cannot
-- go. And by how many seconds the database's clock has moved against the service's since the deletions
-- that are due now; with that it is not known whether they are.
-- $1 the service's clock, in seconds since 1970
with clock as materialized (
    select extract(epoch from clock_timestamp())::float8 - $1 as clock_offset
), due as materialized (
    select t.item, t.clock_offset from provisioning.trash t where t.purge_at <= now()
)
select
    exists (select from provisioning.purge_holds h where h.released_at is null) as held,
    (select coalesce(max(abs(d.clock_offset - c.clock_offset)), 0) from due d, clock c)::float8 as clock_moved,
    array(select d.item from due d order by random() limit 50) as items
