-- What stands for the names that definitions of these agents contain of other agents' tables, sequences and types. A row
-- for an agent whose definitions contain one: number and hash, as in fingerprints_relations.sql, which stands for the names
-- that belong to no agent.
-- $1 the seed of the hashes, $2 agents
with tables as (
    select t.agent_id, t.relation::oid as oid from provisioning.agent_tables t where t.agent_id = any ($2)
), definitions as (
    select t.agent_id, t.oid as table, 'pg_catalog.pg_class'::regclass as class, t.oid from tables t
    union all
    select t.agent_id, t.oid, 'pg_catalog.pg_class'::regclass, i.indexrelid
    from tables t
    join pg_catalog.pg_index i on i.indrelid = t.oid and (i.indexprs is not null or i.indpred is not null)
    union all
    select t.agent_id, t.oid, k.tableoid, k.oid
    from tables t
    join pg_catalog.pg_constraint k on k.conrelid = t.oid and k.contype not in ('p', 'u', 'n')
    union all
    select t.agent_id, t.oid, p.tableoid, p.oid from tables t join pg_catalog.pg_policy p on p.polrelid = t.oid
    union all
    select t.agent_id, t.oid, g.tableoid, g.oid
    from tables t
    join pg_catalog.pg_trigger g on g.tgrelid = t.oid and not g.tgisinternal
    union all
    select t.agent_id, t.oid, r.tableoid, r.oid from tables t join pg_catalog.pg_rewrite r on r.ev_class = t.oid
    union all
    select t.agent_id, t.oid, e.tableoid, e.oid from tables t join pg_catalog.pg_attrdef e on e.adrelid = t.oid
), named as materialized (
    select distinct f.agent_id, d.refclassid, d.refobjid
    from definitions f
    join pg_catalog.pg_depend d on d.classid = f.class and d.objid = f.oid
    where d.refclassid in ('pg_catalog.pg_class'::regclass, 'pg_catalog.pg_type'::regclass) and d.refobjid <> f.table
      and not exists (
          select from provisioning.agent_tables t where t.relation = d.refobjid and t.agent_id = f.agent_id)
), relations as materialized (
    select n.agent_id, n.refobjid as oid
    from named n
    join provisioning.agent_tables t on t.relation = n.refobjid and t.agent_id <> n.agent_id
    where n.refclassid = 'pg_catalog.pg_class'::regclass
    union
    -- Sequences of serial and identity columns.
    select n.agent_id, n.refobjid
    from named n
    join pg_catalog.pg_depend d on d.classid = n.refclassid and d.objid = n.refobjid
        and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjsubid > 0 and d.deptype in ('a', 'i')
    join provisioning.agent_tables t on t.relation = d.refobjid and t.agent_id <> n.agent_id
    where n.refclassid = 'pg_catalog.pg_class'::regclass
), types as materialized (
    -- Or of arrays of them; a table's own is called after it.
    select distinct n.agent_id, b.oid, b.typname, b.typnamespace
    from named n
    join pg_catalog.pg_type y on y.oid = n.refobjid
    left join pg_catalog.pg_type e on e.oid = y.typelem and e.typarray = y.oid
    join pg_catalog.pg_type b on b.oid = coalesce(e.oid, y.oid)
    where n.refclassid = 'pg_catalog.pg_type'::regclass
      and (exists (select from provisioning.agent_types t where t.type = b.oid and t.agent_id <> n.agent_id)
           or exists (select from provisioning.agent_tables t where t.relation = b.typrelid and t.agent_id <> n.agent_id))
), parts as (
    select r.agent_id, hash_record_extended(row(c.tableoid, c.oid, c.relname, c.relnamespace), $1) as hash
    from relations r
    join pg_catalog.pg_class c on c.oid = r.oid
    union all
    select r.agent_id, hash_record_extended(row(a.tableoid, a.attrelid, a.attnum, a.attname), $1)
    from relations r
    join pg_catalog.pg_attribute a on a.attrelid = r.oid and a.attnum > 0
    union all
    select y.agent_id, hash_record_extended(row('type'::text, y.oid, y.typname, y.typnamespace), $1)
    from types y
    union all
    select y.agent_id, hash_record_extended(row(l.tableoid, l.oid, l.enumlabel), $1)
    from types y
    join pg_catalog.pg_enum l on l.enumtypid = y.oid
)
select agent_id, count(*) as count, bit_xor(hash) as hash from parts group by agent_id
