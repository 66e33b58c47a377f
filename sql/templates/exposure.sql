-- What is open of the tables that the templates have made: row security that is off, and what anon or everybody may
-- do to a table or to columns of it, whether the files grant it or the project's default privileges do; and parents
-- outside, through which its rows are read. By index, as in scratch.sql.
-- $1 the head of their names
with tables as materialized (
    select c.oid, c.relname, c.relacl, c.relowner, c.relrowsecurity
    from pg_catalog.pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and c.relname >= $1
      and c.relname ^@ $1
), lists as (
    select oid, coalesce(relacl, acldefault('r', relowner)) as acl, '' as what from tables
    union all
    select t.oid, a.attacl, format(' (%I)', a.attname)
    from tables t
    join pg_catalog.pg_attribute a on a.attrelid = t.oid and not a.attisdropped and a.attacl is not null
), granted as (
    -- Anon also has what a role has that it is a member of.
    select l.oid, case when g.grantee = 0 then 'public' else g.grantee::regrole::text end as grantee,
        string_agg(distinct lower(g.privilege_type collate "C") || l.what, ', ') as privileges
    from lists l, aclexplode(l.acl) g
    where g.grantee = 0 or pg_has_role(to_regrole('anon'), g.grantee, 'usage')
    group by 1, 2
)
select t.relname::text as name, format('public.%I', t.relname) as relation, t.relrowsecurity as row_security,
    array(select format('%s: %s', g.grantee, g.privileges) from granted g where g.oid = t.oid
          union all
          -- Rows of a child are read through its parent, past the child's own policies.
          select format('whoever may read %s, its parent', i.inhparent::regclass)
          from pg_catalog.pg_inherits i
          where i.inhrelid = t.oid and i.inhparent not in (select o.oid from tables o)
          order by 1) as rights
from tables t
order by t.oid
