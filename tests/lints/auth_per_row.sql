-- A function in a policy that is called for each row: one that is not inside (select ...).
select p.polrelid::regclass || '.' || p.polname || ': ' || e.expression
from pg_policy p
join pg_class c on c.oid = p.polrelid and c.relnamespace = any (:schemas),
lateral (values (pg_get_expr(p.polqual, p.polrelid)), (pg_get_expr(p.polwithcheck, p.polrelid))) e (expression)
where regexp_replace(e.expression, '\( *SELECT [a-z_.]+\((\([0-9]+\)::bigint|''[a-z]+''::text)?\) AS [a-z_]+\)', '', 'gi')
      ~* '(auth|provisioning|current_setting)[a-z_.]*\('
