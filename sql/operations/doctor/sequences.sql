-- The columns of public.agents and of schema provisioning that draw their values from a sequence: what reads the sequence and the
-- greatest value in the column (null: this role may not), and what puts the sequence right.
select c.relnamespace::regnamespace || '.' || quote_ident(c.relname) || '.' || quote_ident(a.attname) as column_name,
    -- The server may ask for the right on what is no sequence, first.
    case when case s.relkind when 'S' then has_sequence_privilege(s.oid, 'select') end and has_table_privilege(c.oid, 'select')
    then format('select (select max(%I) from %I.%I)::bigint as greatest, (select last_value from %I.%I) as last_value',
                a.attname, n.nspname, c.relname, sn.nspname, s.relname) end as reads,
    format('select setval(%L, (select max(%I) from %I.%I));',
           format('%I.%I', sn.nspname, s.relname), a.attname, n.nspname, c.relname) as way_out
from pg_catalog.pg_class s
join pg_catalog.pg_namespace sn on sn.oid = s.relnamespace
join pg_catalog.pg_depend d on d.classid = 'pg_class'::regclass and d.objid = s.oid and d.refclassid = 'pg_class'::regclass
    and d.deptype in ('a', 'i')
join pg_catalog.pg_class c on c.oid = d.refobjid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = d.refobjsubid
where s.relkind = 'S' and (n.nspname = 'provisioning' or c.oid = to_regclass('public.agents'))
order by 1
