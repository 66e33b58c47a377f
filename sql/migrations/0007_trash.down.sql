-- An older program cannot bring an agent back.
do $$
declare
    kept bigint;
begin
    select count(*) into kept from provisioning.trash;
    if kept > 0 then
        raise exception 'the trash holds the tables of % deleted agents', kept
            using errcode = 'dependent_objects_still_exist',
                  hint = 'Restore them, or wait until the service has purged them.';
    end if;
end $$;

create or replace function provisioning.enqueue_deprovision() returns trigger
    language plpgsql security definer set search_path = '' as $$
begin
    insert into provisioning.jobs (kind, agent_id, agent_prefix, user_id)
    select 'deprovision', d.id, d.agent_prefix, d.user_id from deleted d order by d.id
    on conflict (agent_id, kind) where state = 'pending' do nothing;
    if found then
        perform pg_notify('agent_provisioning', '');
    end if;
    return null;
end $$;

drop function provisioning.unpublish(regclass);
drop index provisioning.jobs_deleted_idx;
alter table provisioning.jobs drop column confirmed;
drop table provisioning.trash_relations;
drop table provisioning.trash;
drop schema provisioning_trash;
