-- The columns of views, each with its type: `create or replace view` can only add some behind them.
-- $1 schemas of the platform and of this program
select format('%I.%I', n.nspname, c.relname) as relation,
    array_agg(concat_ws(' ', quote_ident(a.attname), format_type(a.atttypid, a.atttypmod),
                        nullif(a.attcollation, 0)::regcollation::text) order by a.attnum) as columns
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0
where c.relkind = 'v' and n.nspname <> all ($1) and not n.nspname ^@ 'pg_' and n.nspname <> 'information_schema'
group by 1
