-- Tables of the base schema that somebody renamed or moved, and the statements that bring each back. A table's primary key keeps
-- its name, and the table of agents its trigger. Where several tables may be the one, none is named. What has the name now is
-- renamed first.
-- $1 the names of the tables that are missing
-- $2 the names of all tables of the base schema
-- $3 the role to whom the base schema belongs, quoted
with candidates as (
    select m.name, k.conrelid as oid, false as is_proven
    from unnest($1::text[]) m (name)
    join pg_catalog.pg_constraint k on k.contype = 'p' and k.conname = split_part(m.name, '.', 2) || '_pkey'
    union
    select m.name, t.tgrelid, true
    from unnest($1::text[]) m (name)
    join pg_catalog.pg_trigger t on m.name = 'public.agents' and t.tgname = 'enqueue_deprovision' and not t.tgisinternal
), found as (
    select c.name, c.oid, split_part(c.name, '.', 1) as schema_name, split_part(c.name, '.', 2) as table_name
    from candidates c
    group by c.name, c.oid
    having bool_or(c.is_proven)
        or not exists (select from candidates o where o.name = c.name and o.is_proven)
)
select f.name, min(case
    when to_regnamespace(f.schema_name) is null
    then format('alter schema %I rename to %s;', n.nspname, f.schema_name)
    else concat_ws(' ',
        (select format('alter table %s rename to %I;', f.name, free.name)
         from generate_series(1, 100) i
         cross join lateral (select format('%s_replaced_%s', f.table_name, i) as name) free
         where to_regclass(f.name) is not null and to_regclass(format('%s.%I', f.schema_name, free.name)) is null
         order by i limit 1),
        case when c.relname <> f.table_name
        then format('alter table %I.%I rename to %s;', n.nspname, c.relname, f.table_name) end,
        case when n.nspname <> f.schema_name
        then format('alter table %I.%s set schema %s;', n.nspname, f.table_name, f.schema_name) end)
    end) as way_out, min(format('%I.%I', n.nspname, c.relname)) as now
from found f
join pg_catalog.pg_class c on c.oid = f.oid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_roles r on r.oid = c.relowner and quote_ident(r.rolname) = $3
where format('%I.%I', n.nspname, c.relname) <> all ($2)
group by f.name
having count(*) = 1
