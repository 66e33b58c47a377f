-- What is in the trash, by prefix, the latest first; and whether one of its tables is still there to
-- be restored.
select
    t.id as item, t.agent_id, t.agent_prefix, t.owner_known, t.user_id::text as user_id,
    coalesce(to_char(t.trashed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), t.trashed_at::text) as trashed_at,
    coalesce(to_char(t.purge_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), t.purge_at::text) as purge_at,
    -- Of a time that is infinite there is no age.
    case when isfinite(t.trashed_at) then extract(epoch from clock_timestamp() - t.trashed_at) else 0 end::float8 as age,
    k.tables, k.elsewhere, k.owner, k.rows, k.bytes,
    array(select distinct format('%I', r.original_schema) from provisioning.trash_relations r
          where r.trash_id = t.id and to_regnamespace(format('%I', r.original_schema)) is null
          order by 1) as lost_schemas
from provisioning.trash t
cross join lateral (
    select
        count(*) filter (where r.kind = 'table') as tables,
        -- Quoted by the server. Tables that stood outside schema public go back there.
        coalesce(array_agg(format('%I.%I', r.original_schema, r.name) order by format('%I.%I', r.original_schema, r.name))
            filter (where r.kind = 'table' and r.original_schema <> 'public'), '{}') as elsewhere,
        quote_ident(min(o.rolname) filter (where r.kind = 'table')) as owner,
        -- As the server last counted, without a lock on anything: null where it never did.
        sum(c.reltuples) filter (where r.kind = 'table' and c.reltuples >= 0)::bigint as rows,
        coalesce(sum(c.relpages::bigint), 0)::bigint * current_setting('block_size')::bigint as bytes
    from provisioning.trash_relations r
    join pg_catalog.pg_class c on c.relnamespace = (
            select n.oid from pg_catalog.pg_namespace n where n.nspname = 'provisioning_trash')
        and c.relname = r.trash_name
    join pg_catalog.pg_roles o on o.oid = c.relowner
    where r.trash_id = t.id and r.kind in ('table', 'index')
) k
order by t.agent_prefix, t.id desc
