-- The statement that gives agents the ids of a range, behind those that were given of it. Null: the range is used up.
-- $1 first, $2 last
with given as (
    select a.id from public.agents a
    union all select p.agent_id from provisioning.agents p
    union all select j.agent_id from provisioning.jobs j
    union all select t.agent_id from provisioning.trash t
    union all select d.agent_id from provisioning.deleted_agents d
    union all select m.agent_id from provisioning.moves m
    union all select pg_sequence_last_value('public.agents_id_seq')
), next as (
    select coalesce(max(g.id) + 1, $1::bigint) as id from given g where g.id between $1::bigint and $2::bigint
)
select case when n.id <= $2::bigint
    then format('alter sequence public.agents_id_seq minvalue %1$s maxvalue %2$s start with %1$s restart with %3$s', $1::bigint,
        $2::bigint, n.id) end as statement, n.id as next_id
from next n
