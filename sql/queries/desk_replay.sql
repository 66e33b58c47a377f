-- Dead or paused jobs back into the queue, each in its old place: per prefix the order is that of the ids.
-- Of an agent's jobs of one kind a single one may be pending. The others stay dead and come back
-- with the twin that goes first: the latest deprovision, because it cancels the rest, and the
-- earliest of any other kind, because the rest waits for it.
-- A paused deletion, and a deletion whose id is given, is confirmed with that. A cancelled deletion whose id is given
-- comes back, too, while the agent's row is gone and its tables are there.
-- $1 ids, $2 prefix (both null: every job in those states), $3 reason, $4 who, besides the role, $5 dry run,
-- $6 the states that are meant: dead, paused or both
with asked as materialized (
    select j.id, j.kind, j.agent_id, j.agent_prefix, j.state, f.fits, t.id as twin, t.state as twin_state
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
          and (t.state in ('pending', 'paused')
               or t.state = 'dead' and (t.id > j.id) = (j.kind = 'deprovision'))
        order by t.state desc, case when j.kind = 'deprovision' then -t.id else t.id end
        limit 1
    ) t on true
    cross join lateral (
        select j.state = any ($6) or 'dead' = any ($6) and j.id = any ($1)
            and j.state = 'cancelled' and j.kind = 'deprovision'
            and exists (select from provisioning.agents b where b.agent_id = j.agent_id)
            and not exists (select from provisioning.living_agents(array[j.agent_id]))
            and not exists (select from provisioning.jobs o
                            where o.agent_id = j.agent_id and o.kind = j.kind
                              and (o.id > j.id or o.state in ('pending', 'paused', 'dead'))) as fits
    ) f
    where j.id = any ($1)
       or $1 is null and j.state = any ($6) and ($2 is null or j.agent_prefix = $2)
), picked as materialized (
    -- Skips what a worker holds: it is cancelling that very job.
    select j.id
    from provisioning.jobs j join asked a on a.id = j.id
    where j.state = a.state and a.fits and a.twin is null
    for update of j skip locked
), replayed as (
    update provisioning.jobs j
    set state = 'pending', attempts = 0, run_at = now(), finished_at = null, outcome = null,
        replayed_by = current_user || coalesce(' (' || $4 || ')', ''),
        replayed_at = now(), replay_reason = $3,
        deletion_confirmed = j.deletion_confirmed
            or j.kind = 'deprovision' and ($1 is not null or j.state = 'paused')
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
