select statement from (
    with t as (
        select c.*, oid::regclass as name from pg_class c
        where relnamespace = 'public'::regnamespace and relname ^@ '{prefix}_' and relkind in ('r', 'p')
    )
    select 2, format('alter policy %I on %s to anon', polname, t.name) from t join pg_policy p on polrelid = t.oid
    union all
    select 4, format('create policy drift on %s', t.name) from t
    union all
    select 3, format('grant all on %s to anon', t.name) from t
    union all
    select 3, format('grant select on %s to authenticated with grant option', t.name) from t
    union all
    select 4, format('grant update (id) on %s to service_role', t.name) from t
    union all
    select 4, format('revoke update on %s from agent_provisioner', t.name) from t
    union all
    select 3, format('alter table %s %s trigger %I', t.name, case when tgenabled = 'A' then 'disable' else 'enable always' end, tgname)
    from t join pg_trigger g on tgrelid = t.oid where not tgisinternal and tgparentid = 0
    union all
    select 3, format('alter table only %s alter column %I set default null', t.name, attname)
    from t join pg_attribute a on attrelid = t.oid
    where attnum > 0 and atthasdef and attgenerated = '' and not attisdropped
    union all
    select 3, format('alter table only %s alter column %I set default current_user', t.name, attname)
    from t join pg_attribute a on attrelid = t.oid
    where attnum > 0 and atthasdef and attgenerated = '' and not attisdropped
    union all
    select 3, format('alter table %s alter column %I drop not null', t.name, attname)
    from t join pg_attribute a on attrelid = t.oid
    where attnum > 0 and attnotnull and attidentity = '' and not attisdropped
    union all
    select 2, format('comment on table %s is ''drift''', t.name)
    from t join pg_description d on objoid = t.oid where objsubid = 0 and classoid = 'pg_class'::regclass
    union all
    select 2, format('alter table only %s alter column %I set statistics 77', t.name, attname)
    from t join pg_attribute a on attrelid = t.oid where attnum > 0 and attstattarget >= 0
    union all
    select 2, format('alter table only %s alter column %I set (n_distinct = 3)', t.name, attname)
    from t join pg_attribute a on attrelid = t.oid where attnum > 0 and array_to_string(attoptions, ',') like '%n_distinct%'
    union all
    select 3, format('alter index %s set (fillfactor = 51)', c.oid::regclass)
    from t join pg_index i on indrelid = t.oid join pg_class c on c.oid = indexrelid
    -- Of a renamed one that differs there is nothing to know it by.
    where hashtext(c.relname) % 2 = 0 and not c.relispartition and c.relam in (403, 405) and c.relkind = 'i'
      and (c.reloptions is not null or not exists (select from pg_constraint where conindid = c.oid))
    union all
    select 3, format('alter index %s rename to %I', c.oid::regclass, '{prefix}_other_' || abs(hashtext(c.relname)))
    from t join pg_index i on indrelid = t.oid join pg_class c on c.oid = indexrelid
    where hashtext(c.relname) % 2 <> 0 and not c.relispartition
    union all
    select 3, format('alter table %s rename constraint %I to drift_%s', t.name, conname, abs(hashtext(t.relname || conname)))
    from t join pg_constraint k on conrelid = t.oid
    where contype in ('p', 'u', 'x', 'c', 'f') and conparentid = 0 and coninhcount = 0
    union all
    select 3, format('alter table %s alter constraint %I deferrable initially deferred', t.name, conname)
    from t join pg_constraint k on conrelid = t.oid where contype = 'f' and conparentid = 0
    union all
    select 3, format('alter sequence %s increment by 13', d.objid::regclass)
    from t join pg_depend d on refobjid = t.oid and refclassid = 'pg_class'::regclass and classid = 'pg_class'::regclass
    where deptype = 'i' and exists (select from pg_sequence where seqrelid = d.objid)
    union all
    select 3, format('alter table %s replica identity %s', t.name, case when relreplident = 'f' then 'nothing' else 'full' end)
    from t
    union all
    select 4, format('alter table %s disable row level security, no force row level security', t.name) from t
    union all
    select 5, format('alter table %s rename to %I', t.name, '{prefix}_lost_' || abs(hashtext(t.relname))) from t
) s (share, statement)
where abs(hashtext(statement || '{seed}')) % share = 0
order by hashtext(statement)
