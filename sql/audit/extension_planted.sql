-- Whether a role without a superuser's rights has made something where the script of an extension looks names up: in the
-- schema that the extension goes to, or in that of an extension that it requires. A function or an operator there may fit
-- better than the one that the script means. A type, which every table has too, may hide one of a required extension.
-- $1 extension, $2 schema
with recursive needed (name) as (
    select $1::name collate "C"
    union
    select r.name collate "C"
    from needed n
    join pg_catalog.pg_available_extensions a on a.name = n.name
    join pg_catalog.pg_available_extension_versions v on v.name = a.name and v.version = a.default_version
    cross join unnest(v.requires) r (name)
), spaces as (
    select s.oid
    from pg_catalog.pg_namespace s
    where s.nspname = $2
       or s.oid in (select e.extnamespace from needed n join pg_catalog.pg_extension e on e.extname = n.name)
       or s.nspname in (select v.schema from needed n join pg_catalog.pg_available_extension_versions v on v.name = n.name)
), made (owner) as (
    select p.proowner from pg_catalog.pg_proc p join spaces s on s.oid = p.pronamespace
    union all
    select o.oprowner from pg_catalog.pg_operator o join spaces s on s.oid = o.oprnamespace
    union all
    select t.typowner from pg_catalog.pg_type t join spaces s on s.oid = t.typnamespace
    where (select count(*) from needed) > 1
)
select exists (select from made m join pg_catalog.pg_roles r on r.oid = m.owner where not r.rolsuper)
