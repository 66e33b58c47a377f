-- One item of the trash that has been kept for as long as was asked, gone from the books, and the
-- names of what there is to drop. No row: somebody is restoring or purging it.
-- $1 number in the trash
with item as materialized (
    select t.item, t.agent_id, t.agent_prefix from provisioning.trash t
    where t.item = $1 and t.purge_at <= now()
    for update skip locked
), gone as (
    delete from provisioning.trash t using item i where t.item = i.item
)
select i.agent_id, i.agent_prefix,
    (select string_agg(to_regclass(format('provisioning_trash.%I', r.kept_as))::text, ', ')
     from provisioning.trash_relations r
     where r.item = i.item and r.kind = 'table') as tables,
    (select string_agg(to_regtype(format('provisioning_trash.%I', r.kept_as))::text, ', ')
     from provisioning.trash_relations r
     where r.item = i.item and r.kind = 'type') as types
from item i
