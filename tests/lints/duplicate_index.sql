-- Indexes that differ in nothing but their names.
select string_agg(i.indexrelid::regclass::text, ' = ')
from pg_index i join pg_class c on c.oid = i.indexrelid and c.relnamespace = any (:schemas)
group by i.indrelid, i.indkey::text, i.indclass::text, i.indoption::text, i.indcollation::text,
    pg_get_expr(i.indexprs, i.indrelid), pg_get_expr(i.indpred, i.indrelid)
having count(*) > 1
