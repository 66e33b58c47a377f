-- What the role of this session reads that the console must not, and whether it reads the queue.
select current_user::text as role,
    has_table_privilege('provisioning.jobs', 'select') as reads_queue,
    array(
        select c.oid::regclass::text
        from (
            select t.relation::oid as oid from provisioning.agent_tables t
            union
            select to_regclass(o.name)::oid
            from (values
                ('public.users'), ('public.whatsapp_configuration'), ('provisioning.secrets'), ('auth.users')) o (name)
        ) t
        join pg_catalog.pg_class c on c.oid = t.oid
        where has_any_column_privilege(c.oid, 'select')
        order by 1
        limit 3
    ) as reads
