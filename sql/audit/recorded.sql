-- Which of the ledgers that the audit knows are there and can be read.
select format('%I.%I', n.nspname, c.relname) as ledger,
    exists (select from pg_catalog.pg_attribute a
            where a.attrelid = c.oid and a.attname = 'statements' and not a.attisdropped) as has_statements
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where (n.nspname, c.relname) in (('supabase_migrations', 'schema_migrations'), ('provisioning', 'migrations'))
  and c.relkind = 'r' and has_table_privilege(c.oid, 'select') and has_schema_privilege(n.oid, 'usage')
