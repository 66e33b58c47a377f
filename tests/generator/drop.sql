select statement from (
    with t as (
        select c.*, oid::regclass as name from pg_class c
        where relnamespace = 'public'::regnamespace and relname ^@ '{prefix}_' and relkind in ('r', 'p')
    )
    -- One in so many, and what is dropped.
    select 3, format('alter table %s drop constraint %I%s', t.name, conname, case when hashtext(conname) % 2 = 0 then ' cascade' end)
    from t join pg_constraint k on conrelid = t.oid
    where contype in ('p', 'u', 'x', 'c', 'f') and conparentid = 0 and coninhcount = 0
    union all
    select 3, format('drop index %s cascade', c.oid::regclass)
    from t join pg_index i on indrelid = t.oid join pg_class c on c.oid = indexrelid
    where not c.relispartition and not exists (select from pg_constraint where conindid = c.oid)
    union all
    select 3, format('drop policy %I on %s', polname, t.name) from t join pg_policy p on polrelid = t.oid
    union all
    select 3, format('drop trigger %I on %s', tgname, t.name)
    from t join pg_trigger g on tgrelid = t.oid where not tgisinternal and tgparentid = 0
    union all
    select 3, format('alter table %s alter column %I drop default', t.name, attname)
    from t join pg_attribute a on attrelid = t.oid
    where attnum > 0 and atthasdef and attgenerated = '' and not attisdropped
    union all
    select distinct 3, format('revoke all on %s from %s', t.name, grantee::regrole) from t, aclexplode(relacl)
    where grantee <> relowner and grantee <> 0
    union all
    select 3, format('comment on table %s is null', t.name)
    from t join pg_description d on objoid = t.oid where objsubid = 0 and classoid = 'pg_class'::regclass
    union all
    select 3, format('comment on column %s.%I is null', t.name, attname)
    from t join pg_description d on objoid = t.oid and classoid = 'pg_class'::regclass
    join pg_attribute a on attrelid = t.oid and attnum = objsubid and attnum > 0
    union all
    select 4, format('alter table %s disable row level security', t.name) from t
    union all
    select 3, format('alter table %s no force row level security', t.name) from t where relforcerowsecurity
    union all
    select 2, format('alter publication supabase_realtime drop table %s', t.name)
    from t join pg_publication_rel r on prrelid = t.oid
    union all
    select 2, format('alter table %s set without cluster', t.name)
    from t join pg_index i on indrelid = t.oid where indisclustered
    union all
    select 2, format('alter table %s replica identity default', t.name) from t where relreplident <> 'd'
    union all
    select 2, format('alter table %s alter column %I set statistics -1', t.name, attname)
    from t join pg_attribute a on attrelid = t.oid where attnum > 0 and attstattarget >= 0
    union all
    select 2, format('alter table %s alter column %I set compression default', t.name, attname)
    from t join pg_attribute a on attrelid = t.oid where attnum > 0 and attcompression <> ''
    union all
    select 2, format('alter table %s alter column %I reset (n_distinct, n_distinct_inherited)', t.name, attname)
    from t join pg_attribute a on attrelid = t.oid where attnum > 0 and array_to_string(attoptions, ',') like '%n_distinct%'
    union all
    select 5, format('drop table %s cascade', t.name) from t
    -- A child that is made again has first what its parent has by now. A check of the parent's that is NOT VALID holds for the
    -- rows of a new partition.
    where relispartition and not exists (select from pg_constraint k where k.conrelid = t.oid and k.contype = 'c' and not convalidated)
       or not exists (select from pg_inherits i where i.inhrelid = t.oid)
) s (share, statement)
where abs(hashtext(statement || '{seed}')) % share = 0
order by hashtext(statement)
