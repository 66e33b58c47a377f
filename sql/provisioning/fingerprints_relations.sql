-- The names of relations that belong to no agent, and of their columns: definitions of agents' tables may contain them.
-- Reads so many relations after a given one, and says which was the last; null: there are no more.
-- $1 the seed of the hashes, $2 the oid to go on after, $3 how many
with page as materialized (
    select c.oid, c.relname, c.relnamespace, c.relkind, c.relpersistence
    from pg_catalog.pg_class c
    where c.oid > $2
    order by c.oid
    limit $3
), others as materialized (
    -- TOAST tables (t) and their indexes are in no definition.
    select p.*
    from page p
    where p.oid >= 16384 and p.relkind <> 't' and p.relpersistence <> 't'
      and p.relnamespace <> 'pg_toast'::regnamespace
      and p.relnamespace is distinct from to_regnamespace('provisioning_trash')
      and not exists (select from provisioning.agent_tables t where t.relation = p.oid)
      and not exists (
          select from pg_catalog.pg_index i
          join provisioning.agent_tables t on t.relation = i.indrelid
          where i.indexrelid = p.oid)
      and not exists (
          select from pg_catalog.pg_depend d
          join provisioning.agent_tables t on t.relation = d.refobjid
          where p.relkind = 'S' and d.classid = 'pg_catalog.pg_class'::regclass and d.objid = p.oid
            and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjsubid > 0 and d.deptype in ('a', 'i'))
), names as (
    select hash_record_extended(row('relation'::text, o.oid, o.relname, o.relnamespace), $1) as hash from others o
    union all
    select hash_record_extended(row('column'::text, a.attrelid, a.attnum, a.attname), $1)
    from others o
    join pg_catalog.pg_attribute a on a.attrelid = o.oid and a.attnum > 0
)
select (select max(oid) from page) as last, count(*) as count, bit_xor(hash) as hash from names
