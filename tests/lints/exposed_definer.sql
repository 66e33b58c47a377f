-- A function in an exposed schema that runs with its owner's rights and that the API may call.
select p.oid::regprocedure::text
from pg_proc p
where p.pronamespace = 'public'::regnamespace and p.prosecdef
  and (has_function_privilege('anon', p.oid, 'execute')
       or has_function_privilege('authenticated', p.oid, 'execute'))
