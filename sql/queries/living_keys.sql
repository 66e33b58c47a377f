-- The foreign keys of an agent's registered tables to tables that do not go with the agent, quoted; each with what
-- provisioning.regain_key needs to give it back. A key of a partition goes with that of its parent.
-- $1 agent
with own as materialized (
    select c.oid, n.nspname, c.relname
    from provisioning.agent_tables t
    join pg_catalog.pg_class c on c.oid = t.relation and c.relname = t.table_name
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where t.agent_id = $1
)
select
    format('%I.%I', o.nspname, o.relname) as relation,
    quote_ident(k.conname) as key,
    format('%I.%I', n.nspname, c.relname) as refers_to,
    c.oid = 'public.agents'::regclass as to_agents,
    jsonb_strip_nulls(jsonb_build_object(
        'what', 'key', 'schema', o.nspname, 'name', o.relname, 'key', k.conname,
        'columns', columns.own, 'refers_to_schema', n.nspname, 'refers_to', c.relname,
        'refers_to_columns', columns.others, 'match', k.confmatchtype, 'on_update', k.confupdtype,
        'on_delete', k.confdeltype, 'set_columns', columns.set, 'deferrable', k.condeferrable,
        'deferred', k.condeferred, 'valid', k.convalidated,
        -- What no regain_key knows, since PostgreSQL 18: for a person to give back.
        'definition', case when to_jsonb(k) ->> 'conperiod' = 'true' or to_jsonb(k) ->> 'conenforced' = 'false'
                           then pg_get_constraintdef(k.oid) end))::text as entry
from own o
join pg_catalog.pg_constraint k on k.conrelid = o.oid and k.contype = 'f' and k.conparentid = 0
join pg_catalog.pg_class c on c.oid = k.confrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
cross join lateral (
    select
        (select jsonb_agg(a.attname order by i.place)
         from unnest(k.conkey) with ordinality i (attnum, place)
         join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = i.attnum) as own,
        (select jsonb_agg(a.attname order by i.place)
         from unnest(k.confkey) with ordinality i (attnum, place)
         join pg_catalog.pg_attribute a on a.attrelid = k.confrelid and a.attnum = i.attnum) as others,
        (select jsonb_agg(a.attname order by i.place)
         from unnest(k.confdelsetcols) with ordinality i (attnum, place)
         join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = i.attnum) as set
) columns
where not exists (select from own where own.oid = k.confrelid)
order by to_agents desc, refers_to, o.oid, k.conname
