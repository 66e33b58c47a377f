-- Checks the rows behind an agent's foreign keys to public.agents that were not checked; whether all have a partner.
-- $1 agent
select provisioning.validate_key(k.conrelid::regclass, quote_ident(k.conname))
from provisioning.agent_tables t
join pg_catalog.pg_constraint k on k.conrelid = t.relation and k.contype = 'f' and k.conparentid = 0
    and k.confrelid = 'public.agents'::regclass and not k.convalidated
where t.agent_id = $1
