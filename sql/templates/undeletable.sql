-- Tables of the scratch prefix that stop the end of an agent, whatever the table's rows.
-- $1 the head of their names
--
-- Two kinds are reached by a foreign key, and stop the end of every agent, whoever goes.
-- What the key does is told to a publication, and the table has nothing to tell its rows by.
select c.relname::text as name, format('%I.%I', 'public', c.relname) as relation, false as locks, null as lost
from pg_catalog.pg_class c
where c.relnamespace = 'public'::regnamespace and c.relname ^@ $1 and c.relkind in ('r', 'p')
  and c.relreplident <> 'f'
  and not exists (
      select from pg_catalog.pg_index i
      where i.indrelid = c.oid and i.indisvalid and i.indimmediate
        and case c.relreplident when 'd' then i.indisprimary when 'i' then i.indisreplident end)
  and exists (
      select from pg_catalog.pg_constraint k
      join pg_catalog.pg_publication p on case k.confdeltype when 'c' then p.pubdelete else p.pubupdate end
      where k.conrelid = c.oid and k.contype = 'f' and k.confrelid = 'public.agents'::regclass
        and k.confdeltype in ('c', 'n', 'd')
        and (p.puballtables
             or exists (select from pg_catalog.pg_publication_rel r where r.prpubid = p.oid and r.prrelid = c.oid)
             or exists (select from pg_catalog.pg_publication_namespace n
                        where n.pnpubid = p.oid and n.pnnspid = c.relnamespace)))
union all
-- The server looks at the rows in the role of the table's owner, which has lost its own rights.
select c.relname::text, format('%I.%I', 'public', c.relname), false, string_agg(distinct r.wanted, ' and ')
from pg_catalog.pg_class c
join pg_catalog.pg_constraint k
    on k.conrelid = c.oid and k.contype = 'f' and k.confrelid = 'public.agents'::regclass
-- A key that only checks locks the rows.
cross join unnest(array['select', case k.confdeltype when 'c' then 'delete' else 'update' end]) r (wanted)
where c.relnamespace = 'public'::regnamespace and c.relname ^@ $1 and c.relkind in ('r', 'p')
  and not has_table_privilege(c.relowner, c.oid, r.wanted)
group by c.relname
union all
-- An agent's tables are locked before they are dropped. LOCK TABLE asks for one of these rights.
select c.relname::text, format('%I.%I', 'public', c.relname), true, 'update, delete or truncate'
from pg_catalog.pg_class c
where c.relnamespace = 'public'::regnamespace and c.relname ^@ $1 and c.relkind in ('r', 'p')
  and not has_table_privilege(c.relowner, c.oid, 'update, delete, truncate')
order by name
limit 1
