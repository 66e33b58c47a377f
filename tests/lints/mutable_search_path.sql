-- A function whose names mean what the caller's search_path says.
select p.oid::regprocedure::text
from pg_proc p
where p.pronamespace = any (:schemas)
  and not coalesce('search_path=""' = any (p.proconfig), false)
