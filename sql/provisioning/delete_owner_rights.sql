-- When an agent's row goes, the server looks into every table with a foreign key to agents, in the role of that table's owner.
-- Where an owner has lost its own rights on one, the deletion of any agent fails. So these statements give them back.
select format('grant %s on %s to %s', string_agg(distinct r.wanted, ', '), c.oid::regclass, c.relowner::regrole) as statement
from provisioning.agent_tables t
join pg_catalog.pg_class c on c.oid = t.relation and c.relacl is not null
join pg_catalog.pg_constraint k
    on k.conrelid = c.oid and k.contype = 'f' and k.confrelid = 'public.agents'::regclass
-- A key that only checks locks the rows.
cross join unnest(array['select', case k.confdeltype when 'c' then 'delete' else 'update' end]) r (wanted)
where pg_catalog.pg_has_role(c.relowner, 'USAGE')
  and not pg_catalog.has_table_privilege(c.relowner, c.oid, r.wanted)
group by c.oid, c.relowner;
