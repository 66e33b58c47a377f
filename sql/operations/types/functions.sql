-- What the functions of the API take and answer, a row for each argument and each column of the answer. All answer tables.
-- $1 the functions, with the types of their arguments
select p.proname::text as function_name, a.name, a.type_oid, a.mode = 't' as is_answer,
    a.mode = 'i' and a.place > p.pronargs - p.pronargdefaults as has_default
from unnest($1::text[]) s (signature)
join pg_catalog.pg_proc p on p.oid = to_regprocedure(s.signature)
cross join unnest(p.proallargtypes, p.proargmodes, p.proargnames) with ordinality a (type_oid, mode, name, place)
order by p.proname, a.place
