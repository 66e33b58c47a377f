-- What stands for the parts of agents' tables: columns, partition keys, defaults, constraints, policies, triggers, rules, publications, each
-- with its comment. A row an agent: number and hash, as in fingerprints_relations.sql.
-- $1 the seed of the hashes
with parts as (
    select t.agent_id, hash_record_extended(row(a.tableoid, a.attrelid, a.attnum, a.xmin, d.xmin), $1) as hash
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
    union all
    select t.agent_id, hash_record_extended(row(p.tableoid, p.partrelid, p.xmin), $1)
    from provisioning.agent_tables t
    join pg_catalog.pg_partitioned_table p on p.partrelid = t.relation
    union all
    select t.agent_id, hash_record_extended(row(e.tableoid, e.oid, e.xmin), $1)
    from provisioning.agent_tables t
    join pg_catalog.pg_attrdef e on e.adrelid = t.relation
    union all
    select t.agent_id, hash_record_extended(row(k.tableoid, k.oid, k.xmin, d.xmin), $1)
    from provisioning.agent_tables t
    join pg_catalog.pg_constraint k on k.conrelid = t.relation
    left join pg_catalog.pg_description d on d.objoid = k.oid and d.classoid = 'pg_catalog.pg_constraint'::regclass
    union all
    select t.agent_id, hash_record_extended(row(p.tableoid, p.oid, p.xmin, d.xmin), $1)
    from provisioning.agent_tables t
    join pg_catalog.pg_policy p on p.polrelid = t.relation
    left join pg_catalog.pg_description d on d.objoid = p.oid and d.classoid = 'pg_catalog.pg_policy'::regclass
    union all
    select t.agent_id, hash_record_extended(row(g.tableoid, g.oid, g.xmin, d.xmin), $1)
    from provisioning.agent_tables t
    join pg_catalog.pg_trigger g on g.tgrelid = t.relation
    left join pg_catalog.pg_description d on d.objoid = g.oid and d.classoid = 'pg_catalog.pg_trigger'::regclass
    union all
    select t.agent_id, hash_record_extended(row(r.tableoid, r.oid, r.xmin, d.xmin), $1)
    from provisioning.agent_tables t
    join pg_catalog.pg_rewrite r on r.ev_class = t.relation
    left join pg_catalog.pg_description d on d.objoid = r.oid and d.classoid = 'pg_catalog.pg_rewrite'::regclass
    union all
    select t.agent_id, hash_record_extended(row(r.tableoid, r.oid, r.xmin), $1)
    from provisioning.agent_tables t
    join pg_catalog.pg_publication_rel r on r.prrelid = t.relation
)
select agent_id, count(*) as count, bit_xor(hash) as hash from parts group by agent_id
