-- What stands for the parts of agents' tables: columns, partition keys, defaults, constraints, policies, triggers, rules and
-- publications, with their comments. A row an agent: number and hash, as in fingerprints_relations.sql.
-- $1 the seed of the hashes
with objects (relation, class, oid, xmin) as (
    select p.partrelid, p.tableoid, p.partrelid, p.xmin from pg_catalog.pg_partitioned_table p
    union all
    select e.adrelid, e.tableoid, e.oid, e.xmin from pg_catalog.pg_attrdef e
    union all
    select k.conrelid, k.tableoid, k.oid, k.xmin from pg_catalog.pg_constraint k
    union all
    select p.polrelid, p.tableoid, p.oid, p.xmin from pg_catalog.pg_policy p
    union all
    select g.tgrelid, g.tableoid, g.oid, g.xmin from pg_catalog.pg_trigger g
    union all
    select r.ev_class, r.tableoid, r.oid, r.xmin from pg_catalog.pg_rewrite r
    union all
    select r.prrelid, r.tableoid, r.oid, r.xmin from pg_catalog.pg_publication_rel r
), parts as (
    select t.agent_id, hash_record_extended(row(o.class, o.oid, o.xmin, d.xmin), $1) as hash
    from provisioning.agent_tables t
    join objects o on o.relation = t.relation
    left join pg_catalog.pg_description d on d.objoid = o.oid and d.classoid = o.class
    union all
    select t.agent_id, hash_record_extended(row(a.tableoid, a.attrelid, a.attnum, a.xmin, d.xmin), $1)
    from provisioning.agent_tables t
    join pg_catalog.pg_attribute a on a.attrelid = t.relation and a.attnum > 0
    left join pg_catalog.pg_description d
        on d.objoid = a.attrelid and d.objsubid = a.attnum and d.classoid = 'pg_catalog.pg_class'::regclass
    union all
    -- Statistics targets of an index on expressions are its columns' own.
    select t.agent_id, hash_record_extended(row(a.tableoid, a.attrelid, a.attnum, a.xmin), $1)
    from provisioning.agent_tables t
    join pg_catalog.pg_index i on i.indrelid = t.relation and i.indexprs is not null
    join pg_catalog.pg_attribute a on a.attrelid = i.indexrelid
)
select agent_id, count(*) as count, bit_xor(hash) as hash from parts group by agent_id
