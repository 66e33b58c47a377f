-- Relations under agents' prefixes that are registered to nobody: of several prefixes that head a
-- name, the longest counts.
-- $1 prefixes, $2 what is taken over and so is not meant
with known as materialized (
    select a.agent_prefix::text as prefix from public.agents a
), headed as (
    select c.relname::text as name, (
        select left(c.relname, at.i - 1)
        from generate_series(2, length(c.relname)) at (i)
        where substr(c.relname, at.i, 1) = '_' and left(c.relname, at.i - 1) in (select prefix from known)
        order by at.i desc
        limit 1
    ) as prefix
    from pg_catalog.pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
      and not exists (select from provisioning.agent_tables t where t.relation = c.oid)
      and not exists (select from unnest($2) u (oid) where u.oid = c.oid)
)
select prefix, name from headed where prefix = any ($1) order by 1, 2
