-- One item of the trash, gone from the books, and what there is to drop. No row: somebody is restoring
-- or purging it, or it is to be kept for longer.
-- $1 number in the trash, $2 whether to wait until it was kept for as long as was asked
with item as materialized (
    select t.item, t.agent_id, t.agent_prefix from provisioning.trash t
    where t.item = $1 and (not $2 or t.purge_at <= now())
    for update skip locked
), kept as materialized (
    select r.kind, case r.kind when 'table' then to_regclass(k.name)::oid when 'type' then to_regtype(k.name)::oid end
        as oid, k.name
    from item i
    join provisioning.trash_relations r using (item)
    cross join lateral format('provisioning_trash.%I', r.kept_as) k (name)
), gone as (
    delete from provisioning.trash t using item i where t.item = i.item returning 1
)
select i.agent_id, i.agent_prefix,
    exists (select from gone) as gone,
    array(select k.oid from kept k where k.kind = 'table' and k.oid is not null) as oids,
    array(select k.name from kept k where k.kind = 'table' and k.oid is not null) as tables,
    array(select k.name from kept k where k.kind = 'type' and k.oid is not null) as types
from item i
