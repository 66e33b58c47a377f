-- What is in the trash, by prefix, the latest first; and whether one of its tables is still there to
-- be restored.
select
    t.item, t.agent_id, t.agent_prefix, t.owner_known, t.user_id::text as user_id,
    coalesce(to_char(t.trashed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), t.trashed_at::text) as trashed_at,
    coalesce(to_char(t.purge_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), t.purge_at::text) as purge_at,
    -- Of a time that is infinite there is no age.
    case when isfinite(t.trashed_at) then extract(epoch from clock_timestamp() - t.trashed_at) else 0 end::float8 as age,
    (select count(*) from provisioning.trash_relations r
     where r.item = t.item and r.kind = 'table'
       and to_regclass(format('provisioning_trash.%I', r.kept_as)) is not null) as tables
from provisioning.trash t
order by t.agent_prefix, t.item desc
