-- What is in the trash, by prefix, the latest first; what stands under the prefix now; and whether
-- one of its tables is still there to be restored.
-- $1 prefix; null is any
select
    t.item, t.agent_id, t.agent_prefix, t.reference,
    coalesce(to_char(t.trashed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), t.trashed_at::text) as trashed_at,
    coalesce(to_char(t.purge_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), t.purge_at::text) as purge_at,
    (select count(*) from provisioning.trash_relations r
     where r.item = t.item and r.kind = 'table'
       and to_regclass(format('provisioning_trash.%I', r.kept_as)) is not null) as tables
from provisioning.trash t
where $1 is null or t.agent_prefix = $1
order by t.agent_prefix, t.item desc
