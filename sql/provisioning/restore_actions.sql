-- What is to be given back to an agent's tables, each with its statement. A person gives back what a publication had
-- only a part of.
-- $1 entries
select provisioning.restore_statement(j.entry) as statement, j.entry ?| '{filter,columns}' as by_hand
from unnest($1) with ordinality e (entry, place)
cross join lateral (select e.entry::jsonb as entry) j
where j.entry ->> 'what' in ('grant', 'publication')
order by e.place
