-- The columns of public.agents and of schema provisioning that draw their values from a sequence: what reads the sequence and the
-- greatest value in the column (null: this role may not), and what puts the sequence right.
select c.column_name, c.way_out,
    -- The server may ask for the right on what is no sequence, first.
    case when c.readable then format('select %s as greatest, (select last_value from %s) as last_value', c.greatest, c.sequence) end as reads
from (
    select format('%I.%I.%I', n.nspname, c.relname, a.attname) as column_name, q.greatest, q.sequence,
        format('select setval(%L, %s);', q.sequence, q.greatest) as way_out,
        case s.relkind when 'S' then has_sequence_privilege(s.oid, 'select') end and has_table_privilege(c.oid, 'select') as readable
    from pg_catalog.pg_class s
    join pg_catalog.pg_namespace sn on sn.oid = s.relnamespace
    join pg_catalog.pg_depend d on d.classid = 'pg_class'::regclass and d.objid = s.oid and d.refclassid = 'pg_class'::regclass
        and d.deptype in ('a', 'i')
    join pg_catalog.pg_class c on c.oid = d.refobjid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = d.refobjsubid
    cross join lateral (
        select format('%I.%I', sn.nspname, s.relname) as sequence,
            -- The id of an agent is never given again: what is left of a deleted one bears it.
            case when c.oid = to_regclass('public.agents') and a.attname = 'id' then 'provisioning.highest_agent_id()'
            else format('(select max(%I) from %I.%I)::bigint', a.attname, n.nspname, c.relname) end as greatest
    ) q
    where s.relkind = 'S' and (n.nspname = 'provisioning' or c.oid = to_regclass('public.agents'))
) c
order by c.column_name
