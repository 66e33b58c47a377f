-- Notes that an agent comes. What is noted stays; but one that has the id of the source gets another one while nothing is built, if
-- that is asked for.
-- $1 the move, $2 the agent's id on the source, $3 its prefix, $4 the source's name, $5 whether it gets an id of this database,
-- $6 whether the source keeps the agent, too, $7 who asks, besides the role
insert into provisioning.moves as m (id, direction, agent_id, agent_prefix, peer, is_copy, begun_by)
values ($1::text::uuid, 'in', case when $5 then nextval('public.agents_id_seq') else $2 end, $3, $4, $6, provisioning.requester($7))
on conflict (id) do update set agent_id = excluded.agent_id
where $5 and m.direction = 'in' and m.agent_id = $2 and m.state = 'begun' and m.tables = '{}'
