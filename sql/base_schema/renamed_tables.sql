-- Tables of the base schema that somebody renamed or moved, and the statement that brings each back. A table's primary key keeps
-- its name. Where several tables may be the one, none is named.
-- $1 the names of the tables that are missing
-- $2 the names of all tables of the base schema
-- $3 the role to whom the base schema belongs, quoted
select m.name, min(case
    when to_regnamespace(split_part(m.name, '.', 1)) is null
    then format('alter schema %I rename to %s;', n.nspname, split_part(m.name, '.', 1))
    else concat_ws(' ',
        case when c.relname <> split_part(m.name, '.', 2)
        then format('alter table %I.%I rename to %s;', n.nspname, c.relname, split_part(m.name, '.', 2)) end,
        case when n.nspname <> split_part(m.name, '.', 1)
        then format('alter table %I.%s set schema %s;', n.nspname, split_part(m.name, '.', 2), split_part(m.name, '.', 1)) end)
    end) as way_out
from unnest($1::text[]) m (name)
join pg_catalog.pg_constraint k on k.contype = 'p' and k.conname = split_part(m.name, '.', 2) || '_pkey'
join pg_catalog.pg_class c on c.oid = k.conrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_roles r on r.oid = c.relowner and quote_ident(r.rolname) = $3
where format('%I.%I', n.nspname, c.relname) <> all ($2)
group by m.name
having count(*) = 1
