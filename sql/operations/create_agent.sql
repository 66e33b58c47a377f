-- Creates an agent, as the backend does.
-- $1 its prefix; null: one is drawn
-- $2 the id of its user
-- $3 the id of the user who creates it
-- $4 the id of its business; null: the only one that it can be
select (c.agent ->> 'id')::bigint as id, c.agent ->> 'agent_prefix' as prefix, c.success, c.message
from public.create_agent($2::uuid, $1, $3::uuid, $4::uuid) c
