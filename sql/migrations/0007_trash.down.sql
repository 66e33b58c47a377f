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

drop function provisioning.purge_item(bigint, boolean);
drop function provisioning.purge_due(double precision);
drop function provisioning.trash_agent(bigint, double precision, double precision);
drop function provisioning.grants_on(oid[]);
drop function provisioning.note_keys(bigint, oid[]);
drop function provisioning.leaving_tables(bigint);
drop function provisioning.require_deletion(bigint);
drop function provisioning.validate_key(regclass, text);
drop function provisioning.add_key(jsonb);
drop function provisioning.make_key(jsonb);
drop function provisioning.refer_to_agents(jsonb);
drop function provisioning.require_plain_key(regclass, smallint[], regclass, smallint[]);
drop function provisioning.forget_keys(bigint);
drop function provisioning.keys_off(bigint[]);
drop function provisioning.regain_statement(jsonb);
drop function provisioning.key_definition(jsonb);
drop function provisioning.key_entry(oid);
drop function provisioning.unpublish(regclass);
drop index provisioning.jobs_deleted_idx;
alter table provisioning.jobs drop column deletion_confirmed;
drop table provisioning.trash_relations;
drop table provisioning.trash;
drop table provisioning.purge_holds;
alter table provisioning.agents drop column removed_keys;
drop schema provisioning_trash;
