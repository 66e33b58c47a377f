-- A function whose names mean what the caller's search_path says. An empty path is no better: types are then looked
-- up in the caller's temporary schema first.
select p.oid::regprocedure::text
from pg_proc p
where p.pronamespace = any (:schemas)
  and not coalesce('search_path=pg_catalog, pg_temp' = any (p.proconfig), false)
