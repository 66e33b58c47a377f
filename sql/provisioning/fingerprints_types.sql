-- The names of types that belong to no agent, and of their labels. A row type is called after its relation, an array after its
-- elements. Reads so many types after a given one, and says which was the last; null: there are no more.
-- $1 the seed of the hashes, $2 the oid to go on after, $3 how many
with page as materialized (
    select y.oid, y.typname, y.typnamespace, y.typtype, y.typelem, y.typcollation, y.typstorage
    from pg_catalog.pg_type y
    where y.oid > $2
    order by y.oid
    limit $3
), others as materialized (
    -- A domain over an array has the category of an array, and a name of its own.
    select p.*
    from page p
    where p.typtype <> 'c' and p.typnamespace is distinct from to_regnamespace('provisioning_trash')
      and not exists (select from pg_catalog.pg_type e where e.oid = p.typelem and e.typarray = p.oid)
      and not exists (select from provisioning.agent_types t where t.type = p.oid)
), names as (
    select hash_record_extended(
        row('type'::text, o.oid, o.typname, o.typnamespace, o.typcollation, o.typstorage), $1) as hash
    from others o
    union all
    select hash_record_extended(row('label'::text, l.oid, l.enumlabel), $1)
    from others o
    join pg_catalog.pg_enum l on l.enumtypid = o.oid
    where o.typtype = 'e'
)
select (select max(oid) from page) as last, count(*) as count, bit_xor(hash) as hash from names
