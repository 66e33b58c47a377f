-- Dead jobs back into the queue, each in its old place: per prefix the order is that of the ids.
-- Of an agent's jobs of one kind a single one may be pending. The others stay dead and come back
-- with the twin that goes first: the latest deprovision, because it cancels the rest, and the
-- earliest of any other kind, because the rest waits for it.
-- $1 ids, $2 prefix (both null: every dead job), $3 reason, $4 who, besides the role, $5 dry run
with asked as materialized (
    select j.id, j.kind, j.agent_id, j.agent_prefix, j.state, t.id as twin, t.state as twin_state
    from provisioning.jobs j
    left join lateral (
        select t.id, t.state
        from (
            -- `offset` keeps the partial indexes out: with old statistics all of one is read per job.
            select o.id, o.state
            from provisioning.jobs o
            where o.agent_id = j.agent_id and o.kind = j.kind and o.id <> j.id
            offset 0
        ) t
        where j.state = 'dead'
          and (t.state = 'pending'
               or t.state = 'dead' and (t.id > j.id) = (j.kind = 'deprovision'))
        order by t.state desc, case when j.kind = 'deprovision' then -t.id else t.id end
        limit 1
    ) t on true
    where j.id = any ($1)
       or $1 is null and j.state = 'dead' and ($2 is null or j.agent_prefix = $2)
), picked as materialized (
    -- Skips what a worker holds: it is cancelling that very job.
    select j.id
    from provisioning.jobs j join asked a on a.id = j.id
    where j.state = 'dead' and a.state = 'dead' and a.twin is null
    for update of j skip locked
), replayed as (
    update provisioning.jobs j
    set state = 'pending', attempts = 0, run_at = now(), finished_at = null, outcome = null,
        replayed_by = current_user || coalesce(' (' || $4 || ')', ''),
        replayed_at = now(), replay_reason = $3, confirmed = j.kind = 'deprovision'
    from picked p
    where p.id = j.id and not $5
    returning j.id
), told as materialized (
    select provisioning.notify('agent_provisioning') from (select from replayed limit 1) r
)
select
    coalesce(a.id, m.id) as id, a.kind, a.agent_prefix, a.state, a.twin, a.twin_state,
    -- Not a join: without statistics on a CTE that is a loop within a loop.
    coalesce(a.id in (select p.id from picked p), false) as picked,
    (select count(*) from told) as told
from asked a
full join (select distinct id from unnest($1) n (id)) m on m.id = a.id
order by 1
