-- To whom the base schema has to belong: to the owner of most tables, or of the schema if there are none. The schema alone
-- says little: whoever gave it to another role has not given him its functions.
-- $1 names of our tables in schema public
select quote_ident(r.rolname) as name, r.rolsuper as is_superuser
from (
    select c.relowner as owner, count(*) as objects, bool_or(c.relname = 'jobs') as has_queue
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and (n.nspname = 'provisioning' or n.nspname = 'public' and c.relname = any ($1))
    group by c.relowner
    union all
    select n.nspowner, 0, false from pg_catalog.pg_namespace n where n.nspname = 'provisioning'
) o
join pg_catalog.pg_roles r on r.oid = o.owner
order by o.objects desc, o.has_queue desc
limit 1
