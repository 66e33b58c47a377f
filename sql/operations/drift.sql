-- In what agents differ, by kind of difference, as they were last compared, by a comparison or by a repair. The most frequent
-- first.
-- $1 part of a prefix; null is any
-- $2 most groups
-- $3 most agents of a group
with shown as materialized (
    select a.agent_prefix, d.drifted_since, d.compared_at, f.change, f.kind, f.object
    from provisioning.drifted_agents d
    join provisioning.agents a on a.agent_id = d.agent_id
    left join lateral jsonb_to_recordset(d.found) f (change text, kind text, object text) on true
    where ($1::text is null or position($1 in a.agent_prefix) > 0)
)
select s.change, s.kind, s.object, count(*) as agents,
    (array_agg(s.agent_prefix order by s.agent_prefix))[1:$3] as prefixes,
    extract(epoch from clock_timestamp() - min(s.drifted_since) filter (where isfinite(s.drifted_since)))::float8 as since_age,
    extract(epoch from clock_timestamp() - min(s.compared_at) filter (where isfinite(s.compared_at)))::float8 as compared_age
from shown s
group by s.change, s.kind, s.object
order by count(*) desc, s.kind, s.object, s.change
limit $2
