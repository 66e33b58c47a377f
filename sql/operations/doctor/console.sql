-- What the role of this session reads that the console must not, and whether it reads the queue.
select current_user::text as role,
    has_table_privilege('provisioning.jobs', 'select') as reads_queue,
    array(
        select format('%I.%I', n.nspname, c.relname)
        from pg_catalog.pg_class c
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where (c.oid in (select t.relation from provisioning.agent_tables t)
               or (n.nspname, c.relname) in (('public', 'users'), ('public', 'whatsapp_configuration'),
                                             ('provisioning', 'secrets'), ('auth', 'users')))
          and has_any_column_privilege(c.oid, 'select')
        order by 1
        limit 3
    ) as reads
