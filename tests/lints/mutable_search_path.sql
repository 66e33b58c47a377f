-- A function whose names mean what the caller's search_path says.
select p.oid::regprocedure::text
from pg_proc p
where p.pronamespace = any (:schemas)
  and not coalesce(array['search_path=""', 'search_path=pg_catalog, pg_temp'] && p.proconfig, false)
