-- What has the name of a table of the base schema, and is another relation: one of another kind, and for the table of agents
-- one that lacks its trigger, while another table has that.
-- $1 the names of all tables of the base schema
select t.name
from unnest($1::text[]) t (name)
join pg_catalog.pg_class c on c.oid = to_regclass(t.name)
where c.relkind not in ('r', 'p')
   or t.name = 'public.agents'
      and not exists (select from pg_catalog.pg_trigger g where g.tgrelid = c.oid and g.tgname = 'enqueue_deprovision')
      and exists (select from pg_catalog.pg_trigger g where g.tgname = 'enqueue_deprovision' and not g.tgisinternal)
