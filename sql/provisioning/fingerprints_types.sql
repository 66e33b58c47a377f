-- What stands for the types of agents. A row an agent: number and hash, as in fingerprints_relations.sql.
--
-- The row without an agent stands for the names of all other types and of their labels: of types that no agent's table or
-- type is the base of.
-- $1 the seed of the hashes
with others as materialized (
    -- A domain over an array has the category of an array, and a base of its own.
    select y.oid, y.typname, y.typnamespace, y.typtype, y.typcollation, y.typstorage
    from pg_catalog.pg_type y
    left join pg_catalog.pg_type e on e.oid = y.typelem and e.typarray = y.oid
    left join pg_catalog.pg_class c on c.oid = coalesce(e.typrelid, y.typrelid)
    where c.relpersistence is distinct from 't'
      and y.typnamespace is distinct from to_regnamespace('provisioning_trash')
      and not exists (select from provisioning.agent_types t where t.type = coalesce(e.oid, y.oid))
      and not exists (select from provisioning.agent_tables t where t.relation = c.oid)
), parts as (
    select t.agent_id, hash_record_extended(row(t.tableoid, t.type::oid, t.xmin, y.xmin, a.xmin, d.xmin), $1) as hash
    from provisioning.agent_types t
    left join pg_catalog.pg_type y on y.oid = t.type
    left join pg_catalog.pg_type a on a.oid = y.typarray
    left join pg_catalog.pg_description d on d.objoid = y.oid and d.classoid = 'pg_catalog.pg_type'::regclass
    union all
    select t.agent_id, hash_record_extended(row(l.tableoid, l.oid, l.xmin), $1)
    from provisioning.agent_types t
    join pg_catalog.pg_enum l on l.enumtypid = t.type
    union all
    select null, hash_record_extended(row('type'::text, o.oid, o.typname, o.typnamespace, o.typcollation, o.typstorage), $1)
    from others o
    union all
    select null, hash_record_extended(row('label'::text, l.oid, l.enumlabel), $1)
    from others o
    join pg_catalog.pg_enum l on l.enumtypid = o.oid
    where o.typtype = 'e'
)
select agent_id, count(*) as count, bit_xor(hash) as hash from parts group by agent_id
