-- What stands for the relations of agents: tables, their indexes and TOAST tables, the sequences of serial and identity
-- columns, and parents and children. A row an agent: number and hash.
--
-- A row of the catalog is told by its key and its xmin: each change, by whatever statement, makes a row with the xid of its
-- own transaction. Freezing and VACUUM FULL leave the xmin; if they did not, an agent would be compared once too often. An
-- xid comes again after 2^32 transactions, an oid after as many objects. So what was found more than a day ago does not
-- count. The hashes are put together by XOR, with their number. No row is in there twice: that would cancel it out.
--
-- The row without an agent stands for the names of all other relations and of their columns: definitions of agents' tables
-- may contain them. TOAST tables (t) and their indexes are in no definition.
-- $1 the seed of the hashes
with owned as (
    select t.agent_id, t.relation::oid as oid, t.tableoid as origin, t.xmin as origin_xmin, null::oid as column_of,
        null::integer as column_number, null::xid as parameters_xmin
    from provisioning.agent_tables t
    union all
    select t.agent_id, i.indexrelid, i.tableoid, i.xmin, null, null, null
    from provisioning.agent_tables t
    join pg_catalog.pg_index i on i.indrelid = t.relation
    union all
    select t.agent_id, d.objid, d.tableoid, d.xmin, d.refobjid, d.refobjsubid, q.xmin
    from pg_catalog.pg_sequence q
    join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_class'::regclass and d.objid = q.seqrelid
        and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjsubid > 0 and d.deptype in ('a', 'i')
    join provisioning.agent_tables t on t.relation = d.refobjid
    union all
    -- Storage parameters of its TOAST table are the table's.
    select t.agent_id, s.oid, s.tableoid, null, null, null, null
    from pg_catalog.pg_class s
    join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_class'::regclass and d.objid = s.oid
        and d.refclassid = 'pg_catalog.pg_class'::regclass and d.deptype = 'i'
    join provisioning.agent_tables t on t.relation = d.refobjid
    where s.relkind = 't' and s.reloptions is not null
), relations as materialized (
    select c.oid, o.agent_id, case
        when o.agent_id is null then hash_record_extended(row('relation'::text, c.oid, c.relname, c.relnamespace), $1)
        else hash_record_extended(row(o.origin, c.oid, o.origin_xmin, o.column_of, o.column_number, o.parameters_xmin,
            c.xmin, d.xmin), $1) end as hash
    from pg_catalog.pg_class c
    left join owned o on o.oid = c.oid
    left join pg_catalog.pg_description d
        on d.objoid = c.oid and d.objsubid = 0 and d.classoid = 'pg_catalog.pg_class'::regclass
    where o.agent_id is not null
       or c.relkind <> 't' and c.relpersistence <> 't'
          and c.relnamespace <> 'pg_toast'::regnamespace
          and c.relnamespace is distinct from to_regnamespace('provisioning_trash')
), parts as (
    select r.agent_id, r.hash from relations r
    union all
    select null, hash_record_extended(row('column'::text, a.attrelid, a.attnum, a.attname), $1)
    from relations r
    join pg_catalog.pg_attribute a on a.attrelid = r.oid and a.attnum > 0
    where r.agent_id is null
    union all
    -- A table that somebody dropped is registered all the same.
    select t.agent_id, hash_record_extended(row(t.tableoid, t.relation::oid, t.xmin), $1)
    from provisioning.agent_tables t
    union all
    -- A parent is told by its name.
    select t.agent_id,
        hash_record_extended(row('parent'::text, i.inhrelid, i.inhparent, i.xmin, c.relname, c.relnamespace), $1)
    from provisioning.agent_tables t
    join pg_catalog.pg_inherits i on i.inhrelid = t.relation
    join pg_catalog.pg_class c on c.oid = i.inhparent
    union all
    -- Name and bound of a child are its own.
    select t.agent_id, hash_record_extended(row('child'::text, i.inhparent, i.inhrelid, i.xmin, c.xmin), $1)
    from provisioning.agent_tables t
    join pg_catalog.pg_inherits i on i.inhparent = t.relation
    join pg_catalog.pg_class c on c.oid = i.inhrelid
)
select agent_id, count(*) as count, bit_xor(hash) as hash from parts group by agent_id
