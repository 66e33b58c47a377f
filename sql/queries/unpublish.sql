-- Takes tables out of publications; what provisioning.regain_statement needs to give each membership back.
-- $1 tables
select jsonb_strip_nulls(jsonb_build_object(
    'what', 'publication', 'schema', n.nspname, 'name', c.relname, 'publication', p.publication,
    'columns', to_jsonb(p.columns), 'filter', p.filter))::text as entry
from unnest($1) t (oid)
join pg_catalog.pg_class c on c.oid = t.oid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
cross join lateral provisioning.unpublish(t.oid::regclass) p
