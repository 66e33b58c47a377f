-- What stands for the rows of the catalog that sql/schema/catalog.sql reads for some agents: number and hash. And what was
-- recorded of each agent, if it counts.
--
-- A row is told by its catalog, its key and its xmin: each change, by whatever statement, makes a row with the xid of its own
-- transaction. Freezing and VACUUM FULL leave the xmin; if they did not, an agent would be compared once too often. An xid
-- comes again after 2^32 transactions, an oid after as many objects. So what was found more than a day ago does not count.
--
-- The hashes are put together by XOR, with their number. No row is in there twice: that would cancel it out.
-- $1 the seed of the hashes, $2 agents
with asked as materialized (
    select a.tableoid, a.xmin, a.agent_id, a.removed_keys
    from provisioning.agents a
    where a.agent_id = any ($2)
), tables as materialized (
    select t.agent_id, t.relation::oid as oid, t.xmin
    from provisioning.agent_tables t
    where t.agent_id = any ($2)
), types as materialized (
    select t.agent_id, t.tableoid, t.type::oid as oid, t.xmin
    from provisioning.agent_types t
    where t.agent_id = any ($2)
), sequences as materialized (
    -- Of serial and of identity columns.
    select t.agent_id, d.objid as oid, d.refobjid, d.refobjsubid, d.xmin
    from tables t
    join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = t.oid
        and d.refobjsubid > 0 and d.deptype in ('a', 'i') and d.classid = 'pg_catalog.pg_class'::regclass
), indexes as materialized (
    select t.agent_id, i.tableoid, i.indexrelid as oid, i.xmin, i.indexprs is not null as has_expressions,
        i.indpred is not null as is_partial
    from tables t
    join pg_catalog.pg_index i on i.indrelid = t.oid
), constraints as materialized (
    select t.agent_id, k.tableoid, k.oid, k.xmin, k.contype
    from tables t join pg_catalog.pg_constraint k on k.conrelid = t.oid
), policies as materialized (
    select t.agent_id, p.tableoid, p.oid, p.xmin from tables t join pg_catalog.pg_policy p on p.polrelid = t.oid
), triggers as materialized (
    select t.agent_id, g.tableoid, g.oid, g.xmin, g.tgisinternal
    from tables t join pg_catalog.pg_trigger g on g.tgrelid = t.oid
), rules as materialized (
    select t.agent_id, r.tableoid, r.oid, r.xmin from tables t join pg_catalog.pg_rewrite r on r.ev_class = t.oid
), defaults as materialized (
    select t.agent_id, d.tableoid, d.oid, d.xmin from tables t join pg_catalog.pg_attrdef d on d.adrelid = t.oid
), described as materialized (
    select agent_id, 'pg_catalog.pg_class'::regclass as class, oid from tables
    union all
    select agent_id, 'pg_catalog.pg_class'::regclass, oid from indexes
    union all
    select agent_id, 'pg_catalog.pg_class'::regclass, oid from sequences
    union all
    select agent_id, 'pg_catalog.pg_type'::regclass, oid from types
    union all
    select agent_id, 'pg_catalog.pg_constraint'::regclass, oid from constraints
    union all
    select agent_id, 'pg_catalog.pg_policy'::regclass, oid from policies
    union all
    select agent_id, 'pg_catalog.pg_trigger'::regclass, oid from triggers where not tgisinternal
    union all
    select agent_id, 'pg_catalog.pg_rewrite'::regclass, oid from rules
), used as materialized (
    -- What definitions name of other agents: a table that a foreign key refers to, a sequence, a type. Names that belong to
    -- no agent are in fingerprints_relations.sql and fingerprints_types.sql.
    select u.agent_id, u.refclassid, u.refobjid
    from (
        select distinct o.agent_id, d.refclassid, d.refobjid
        from (
            select agent_id, 'pg_catalog.pg_class'::regclass as class, oid from tables
            union all
            select agent_id, 'pg_catalog.pg_class'::regclass, oid from indexes where has_expressions or is_partial
            union all
            select agent_id, tableoid, oid from constraints where contype not in ('p', 'u', 'n')
            union all
            select agent_id, tableoid, oid from policies
            union all
            select agent_id, tableoid, oid from triggers where not tgisinternal
            union all
            select agent_id, tableoid, oid from rules
            union all
            select agent_id, tableoid, oid from defaults
        ) o
        join pg_catalog.pg_depend d on d.classid = o.class and d.objid = o.oid
        where d.refclassid in ('pg_catalog.pg_class'::regclass, 'pg_catalog.pg_type'::regclass)
    ) u
    where not exists (
        select from provisioning.agent_tables r where r.relation = u.refobjid and r.agent_id = u.agent_id)
), parts as (
    select a.agent_id, hash_record_extended(row(a.tableoid, a.agent_id, a.xmin), $1) as hash from asked a
    union all
    select t.agent_id, hash_record_extended(row(c.tableoid, t.oid, t.xmin, c.xmin), $1)
    from tables t left join pg_catalog.pg_class c on c.oid = t.oid
    union all
    -- Storage parameters of its TOAST table are the table's.
    select t.agent_id, hash_record_extended(row(s.tableoid, s.oid, s.xmin), $1)
    from tables t
    join pg_catalog.pg_class c on c.oid = t.oid
    join pg_catalog.pg_class s on s.oid = c.reltoastrelid and s.reloptions is not null
    union all
    select t.agent_id, hash_record_extended(row(a.tableoid, a.attrelid, a.attnum, a.xmin), $1)
    from tables t join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum > 0
    union all
    select agent_id, hash_record_extended(row(tableoid, oid, xmin), $1) from defaults
    union all
    select agent_id, hash_record_extended(row(tableoid, oid, xmin), $1) from constraints
    union all
    select i.agent_id, hash_record_extended(row(i.tableoid, i.oid, i.xmin, c.xmin), $1)
    from indexes i join pg_catalog.pg_class c on c.oid = i.oid
    union all
    select i.agent_id, hash_record_extended(row(a.tableoid, a.attrelid, a.attnum, a.xmin), $1)
    from indexes i join pg_catalog.pg_attribute a on a.attrelid = i.oid
    where i.has_expressions
    union all
    select agent_id, hash_record_extended(row(tableoid, oid, xmin), $1) from policies
    union all
    select agent_id, hash_record_extended(row(tableoid, oid, xmin), $1) from triggers
    union all
    select agent_id, hash_record_extended(row(tableoid, oid, xmin), $1) from rules
    union all
    -- A parent is told by its name.
    select t.agent_id,
        hash_record_extended(row(i.tableoid, i.inhrelid, i.inhparent, i.xmin, c.relname, c.relnamespace), $1)
    from tables t
    join pg_catalog.pg_inherits i on i.inhrelid = t.oid
    join pg_catalog.pg_class c on c.oid = i.inhparent
    union all
    -- Name and bound of a child are its own.
    select t.agent_id, hash_record_extended(row(i.tableoid, i.inhparent, i.inhrelid, i.xmin, c.xmin), $1)
    from tables t
    join pg_catalog.pg_inherits i on i.inhparent = t.oid
    join pg_catalog.pg_class c on c.oid = i.inhrelid
    union all
    select t.agent_id, hash_record_extended(row(r.tableoid, r.oid, r.xmin), $1)
    from tables t join pg_catalog.pg_publication_rel r on r.prrelid = t.oid
    union all
    select s.agent_id,
        hash_record_extended(row(q.tableoid, s.oid, s.refobjid, s.refobjsubid, s.xmin, q.xmin, c.xmin), $1)
    from sequences s
    join pg_catalog.pg_sequence q on q.seqrelid = s.oid
    join pg_catalog.pg_class c on c.oid = s.oid
    union all
    select t.agent_id, hash_record_extended(row(t.tableoid, t.oid, t.xmin, y.xmin), $1)
    from types t left join pg_catalog.pg_type y on y.oid = t.oid
    union all
    select t.agent_id, hash_record_extended(row(l.tableoid, l.oid, l.xmin), $1)
    from types t join pg_catalog.pg_enum l on l.enumtypid = t.oid
    union all
    select u.agent_id, hash_record_extended(row('used'::text, c.tableoid, c.oid, c.relname, c.relnamespace), $1)
    from used u join pg_catalog.pg_class c on u.refclassid = c.tableoid and c.oid = u.refobjid
    union all
    select u.agent_id, hash_record_extended(row('used'::text, a.tableoid, a.attrelid, a.attnum, a.attname), $1)
    from used u
    join pg_catalog.pg_class c
        on u.refclassid = c.tableoid and c.oid = u.refobjid and c.relkind in ('r', 'p', 'v', 'm', 'f')
    join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0
    union all
    select u.agent_id, hash_record_extended(row('used'::text, y.tableoid, y.oid, y.typname, y.typnamespace), $1)
    from used u join pg_catalog.pg_type y on u.refclassid = y.tableoid and y.oid = u.refobjid
    union all
    select u.agent_id, hash_record_extended(row('used'::text, l.tableoid, l.oid, l.enumlabel), $1)
    from used u
    join pg_catalog.pg_enum l on u.refclassid = 'pg_catalog.pg_type'::regclass and l.enumtypid = u.refobjid
    union all
    -- Comments.
    select o.agent_id, hash_record_extended(row(d.tableoid, d.classoid, d.objoid, d.objsubid, d.xmin), $1)
    from described o join pg_catalog.pg_description d on d.objoid = o.oid and d.classoid = o.class
), found as (
    select agent_id, concat_ws(' ', count(*), bit_xor(hash)) as rows from parts group by agent_id
)
select a.agent_id, f.rows, v.fingerprint as recorded,
    to_char(v.verified_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as verified_at
from asked a
join found f on f.agent_id = a.agent_id
left join provisioning.verified_agents v on v.agent_id = a.agent_id
    and v.verified_by = current_user and v.seed = $1
    and v.verified_at between now() - interval '1 day' and now()
    and a.removed_keys = '[]'
    and not exists (select from provisioning.drifted_agents d where d.agent_id = a.agent_id)
