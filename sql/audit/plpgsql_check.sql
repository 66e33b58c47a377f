-- The errors of PL/pgSQL functions, as the extension plpgsql_check finds them without running them. A function of a trigger
-- is checked for each table that it is on. Names in bodies are looked up in the session's search_path.
-- $1 schemas of the platform and of this program
with functions as (
    select p.oid, p.prorettype
    from pg_catalog.pg_proc p
    join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    join pg_catalog.pg_language l on l.oid = p.prolang
    where l.lanname = 'plpgsql' and n.nspname <> all ($1) and not n.nspname ^@ 'pg_' and n.nspname <> 'information_schema'
      and p.prorettype <> 'event_trigger'::regtype
), calls as (
    select f.oid, 0::oid as relation from functions f where f.prorettype <> 'trigger'::regtype
    union all
    select distinct f.oid, t.tgrelid from functions f join pg_catalog.pg_trigger t on t.tgfoid = f.oid
    where f.prorettype = 'trigger'::regtype and t.tgparentid = 0
)
select distinct on (c.oid) c.oid as function, e.message,
    concat_ws(chr(10), 'line ' || e.lineno, e.query, e.detail, e.hint) as evidence
from calls c
cross join lateral extensions.plpgsql_check_function_tb(c.oid::regprocedure, c.relation, fatal_errors => true,
    other_warnings => false, extra_warnings => false, performance_warnings => false) e
where e.level = 'error'
order by c.oid, e.lineno
