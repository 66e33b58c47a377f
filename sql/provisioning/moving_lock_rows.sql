-- Locks an agent's rows in tables that all agents share: nobody changes or deletes them before the transaction ends.
-- $1 prefix
with agent as materialized (
    select a.id, a.user_id from public.agents a where a.agent_prefix = $1 for no key update
), numbers as materialized (
    select n.id from public.whatsapp_numbers n join agent a on n.agent_id = a.id order by n.id for no key update of n
), configuration as materialized (
    select w.id from public.whatsapp_configuration w join agent a on w.user_id = a.user_id for no key update of w
)
select (select count(*) from agent) as agents, (select count(*) from numbers) as numbers,
    (select count(*) from configuration) as configurations
