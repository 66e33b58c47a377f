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

drop table provisioning.trash_relations;
drop table provisioning.trash;
drop table provisioning.purge_holds;
drop schema provisioning_trash;
