-- What is to be given back to an agent's tables, each with its statement. A person gives back what a publication had
-- only a part of, and what holds text that nobody has checked.
-- $1 entries
select e.entry, j.entry ->> 'what' as what, provisioning.regain_statement(j.entry) as statement,
    j.entry ?| '{filter,definition}' or j.entry ->> 'what' = 'publication' and j.entry ? 'columns' as by_hand
from unnest($1) with ordinality e (entry, place)
cross join lateral (select e.entry::jsonb as entry) j
order by e.place
