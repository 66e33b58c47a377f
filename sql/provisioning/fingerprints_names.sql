-- What else decides whether agents are as they should be, as one text: names that definitions may contain, the program's own
-- part of it, and the functions that build foreign keys. Few rows, however many agents there are.
-- $1 the seed of the hashes, $2 the program's part, $3 whether definitions have constants that name roles
with names as (
    select hash_record_extended(row('namespace'::text, n.oid, n.nspname), $1) as hash
    from pg_catalog.pg_namespace n
    where not starts_with(n.nspname, 'pg_temp_') and not starts_with(n.nspname, 'pg_toast_temp_')
    union all
    -- Those of the whole server, and of others the ones that something in this database depends on. What a constant such as
    -- '{r}'::regrole[] names is not recorded anywhere.
    select hash_record_extended(row('role'::text, r.oid, r.rolname), $1)
    from pg_catalog.pg_roles r
    where $3 or r.oid < 16384 or exists (
        select from pg_catalog.pg_shdepend d
        where d.refclassid = 'pg_catalog.pg_authid'::regclass and d.refobjid = r.oid
          and d.dbid = (select b.oid from pg_catalog.pg_database b where b.datname = current_database()))
    union all
    -- Ours build the foreign keys: what they make changes with them.
    select hash_record_extended(row('function'::text, p.oid, p.proname, p.pronamespace, p.proargtypes,
        case when p.pronamespace = 'provisioning'::regnamespace then p.xmin end), $1)
    from pg_catalog.pg_proc p
    union all
    select hash_record_extended(row('operator'::text, o.oid, o.oprname, o.oprnamespace), $1)
    from pg_catalog.pg_operator o
    union all
    select hash_record_extended(row('operator class'::text, o.oid, o.opcname, o.opcnamespace, o.opcdefault), $1)
    from pg_catalog.pg_opclass o
    union all
    -- Decides which operator class is the default.
    select hash_record_extended(row('cast'::text, c.oid, c.castsource, c.casttarget, c.castcontext, c.castmethod), $1)
    from pg_catalog.pg_cast c
    union all
    select hash_record_extended(row('collation'::text, c.oid, c.collname, c.collnamespace), $1)
    from pg_catalog.pg_collation c
    union all
    select hash_record_extended(row('access method'::text, m.oid, m.amname), $1) from pg_catalog.pg_am m
    union all
    select hash_record_extended(row('publication'::text, p.oid, p.pubname), $1) from pg_catalog.pg_publication p
    union all
    select hash_record_extended(row('text search'::text, c.oid, c.cfgname, c.cfgnamespace), $1)
    from pg_catalog.pg_ts_config c
    union all
    select hash_record_extended(row('dictionary'::text, d.oid, d.dictname, d.dictnamespace), $1)
    from pg_catalog.pg_ts_dict d
)
select concat_ws(' ', count(*), bit_xor(hash),
    hashtextextended(concat_ws(' ', $2, current_setting('server_version_num')), $1)) as digest
from names
