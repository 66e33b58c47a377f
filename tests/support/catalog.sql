-- Everything that is to be known of one agent's tables. $1: the prefix
with mine as (
    select c.oid, c.relname, c.relrowsecurity, c.relforcerowsecurity, c.relacl, c.relkind
    from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relname ^@ ($1 || '_')
)
select format('table       %s rls=%s forced=%s', relname, relrowsecurity, relforcerowsecurity)
from mine where relkind = 'r'
union all
select format('column      %s.%s %s%s%s%s', m.relname, a.attname, format_type(a.atttypid, a.atttypmod),
    case when a.attnotnull then ' not null' end,
    case when a.attgenerated <> '' then ' generated' when d.oid is not null then ' default' end,
    ' ' || pg_get_expr(d.adbin, d.adrelid))
from mine m
join pg_attribute a on a.attrelid = m.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where m.relkind = 'r'
union all
select format('constraint  %s %s', c.conname, pg_get_constraintdef(c.oid))
from mine m join pg_constraint c on c.conrelid = m.oid
where c.contype <> 'n'      -- since PostgreSQL 18 also in the catalog; above as "not null"
union all
select format('index       %s', pg_get_indexdef(i.indexrelid))
from mine m join pg_index i on i.indrelid = m.oid
union all
select format('policy      %s on %s permissive=%s for %s to %s using %s check %s', p.policyname,
    p.tablename, p.permissive, p.cmd, p.roles, p.qual, p.with_check)
from pg_policies p join mine m on m.relname = p.tablename
union all
select format('trigger     %s', pg_get_triggerdef(t.oid))
from mine m join pg_trigger t on t.tgrelid = m.oid and not t.tgisinternal
union all
select format('grant       %s on %s to %s', string_agg(g.privilege_type, ', ' order by g.privilege_type), m.relname,
    g.grantee::regrole)
from mine m, aclexplode(m.relacl) g
where g.grantee::regrole::text <> 'agent_provisioner'
group by m.relname, g.grantee
order by 1
