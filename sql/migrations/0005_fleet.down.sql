-- An older program knows neither the kind nor the types.
do $$
declare
    found text;
begin
    select format('type %s of agent %s', t.type, t.agent_id) into found
    from provisioning.agent_types t limit 1;
    if found is not null then
        raise exception '% would be forgotten', found
            using errcode = 'dependent_objects_still_exist',
                  hint = 'Delete the agents whose templates make types first.';
    end if;
end $$;

delete from provisioning.jobs where kind = 'convert';
alter table provisioning.jobs
    drop column argument,
    drop constraint jobs_kind_check,
    add constraint jobs_kind_check
        check (kind in ('provision', 'deprovision', 'upgrade', 'repair'));
drop function provisioning.publish(regclass, name);
drop table provisioning.agent_types;
