-- What the API makes of types, below their domains and arrays, as PostgreSQL makes JSON of them. Enums of a scratch agent are
-- told with their names.
-- $1 types, $2 the head of the names of the scratch agent's enums
with recursive layers (asked, type, dimensions) as (
    select u.oid, u.oid, 0 from unnest($1::oid[]) u (oid)
    union
    select y.oid, y.oid, 0 from pg_catalog.pg_type y
    where y.typnamespace = 'public'::regnamespace and y.typtype = 'e' and y.typname ^@ $2
    union all
    select l.asked, case y.typtype when 'd' then y.typbasetype else y.typelem end,
        l.dimensions + case y.typtype when 'd' then 0 else 1 end
    from layers l
    join pg_catalog.pg_type y on y.oid = l.type
    where y.typtype = 'd' or y.typsubscript = 'pg_catalog.array_subscript_handler'::regproc
)
select l.asked as type_oid, l.dimensions,
    case
        -- A label with the prefix in it is another one in each agent.
        when y.typtype = 'e' and not exists (
            select from pg_catalog.pg_enum e where e.enumtypid = y.oid and position(left($2, -1) in e.enumlabel) > 0) then 'enum'
        when y.oid = 'bool'::regtype then 'boolean'
        when y.oid in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'float4'::regtype, 'float8'::regtype,
                       'numeric'::regtype) then 'number'
        when y.typtype = 'c' or y.oid in ('json'::regtype, 'jsonb'::regtype) or exists (
            select from pg_catalog.pg_cast k
            where k.castsource = y.oid and k.casttarget = 'json'::regtype and k.castmethod = 'f') then 'Json'
        else 'string'
    end as kind,
    case when y.typtype = 'e' and y.typnamespace = 'public'::regnamespace and y.typname ^@ $2 then y.typname::text end as own_name,
    array(select e.enumlabel::text from pg_catalog.pg_enum e where e.enumtypid = y.oid order by e.enumsortorder) as labels
from layers l
join pg_catalog.pg_type y on y.oid = l.type
where y.typtype <> 'd' and y.typsubscript <> 'pg_catalog.array_subscript_handler'::regproc
order by y.oid
