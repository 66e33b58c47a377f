-- Makes settings of this session. Runs before them, so nothing here may depend on them: the search_path may lead
-- to operators and types of whoever owns the database.
-- $1 names, $2 values
select pg_catalog.set_config(s.name, s.value, false)
from rows from (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) s (name, value)
where pg_catalog.current_setting(s.name, true) is not null
union all
select pg_catalog.set_config(p.name, 'off', false)
from pg_catalog.pg_settings p
where p.name operator(pg_catalog.=) 'default_transaction_read_only'
  and p.source operator(pg_catalog.=) any (array['global', 'database', 'user', 'database user']::pg_catalog.text[])
