-- Tables of the scratch prefix that the end of an agent reaches by a foreign key and that tell a publication so, but have
-- nothing to tell their rows by. The server refuses that for every agent's table, whoever goes and whatever its rows.
-- $1 the head of their names
select c.relname::text as name, format('%I.%I', 'public', c.relname) as relation
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
order by 1
limit 1
