-- An agent's registered tables, each with its foreign keys to public.agents or null; all quoted.
-- $1 agent
select format('%I.%I', n.nspname, c.relname), quote_ident(k.conname)
from provisioning.agent_tables t
join pg_catalog.pg_class c on c.oid = t.relation
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_constraint k on k.conrelid = c.oid and k.contype = 'f'
    and k.confrelid = 'public.agents'::regclass
where t.agent_id = $1
