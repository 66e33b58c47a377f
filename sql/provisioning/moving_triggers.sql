-- The statements that keep the triggers of tables from running, and those that give them back as they are. The rows have been
-- through these triggers where they come from. The server's own, of foreign keys, go on.
-- $1 tables
select
    array(select format('alter table %I.%I disable trigger user', n.nspname, c.relname)
          from unnest($1) u (oid)
          join pg_catalog.pg_class c on c.oid = u.oid
          join pg_catalog.pg_namespace n on n.oid = c.relnamespace) as off,
    array(select format('alter table %I.%I enable %strigger %I', n.nspname, c.relname,
              case t.tgenabled when 'A' then 'always ' when 'R' then 'replica ' end, t.tgname)
          from unnest($1) u (oid)
          join pg_catalog.pg_class c on c.oid = u.oid
          join pg_catalog.pg_namespace n on n.oid = c.relnamespace
          join pg_catalog.pg_trigger t on t.tgrelid = c.oid and not t.tgisinternal and t.tgenabled <> 'D') as back
