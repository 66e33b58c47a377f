-- The foreign keys of an agent's registered tables to tables that do not go with the agent, quoted. A key of a partition goes with that of its parent.
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
    k.oid
from own o
join pg_catalog.pg_constraint k on k.conrelid = o.oid and k.contype = 'f' and k.conparentid = 0
join pg_catalog.pg_class c on c.oid = k.confrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where not exists (select from own where own.oid = k.confrelid)
order by to_agents desc, refers_to, o.oid, k.conname
