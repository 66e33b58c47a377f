-- What a new number is to belong to: null where it is not there.
-- $1 app_id of its app
-- $2 its agent's prefix; null: it has none
-- $3 the id of its business; null: its app's or its agent's
select m.id::text as app, a.id as agent, coalesce($3, m.business_id::text, a.business_id::text) as business
from (values (1)) one
left join public.meta_apps m on m.app_id = $1
left join public.agents a on a.agent_prefix = $2
