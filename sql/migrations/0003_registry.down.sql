-- What is built would be forgotten. Its policies, triggers and defaults need functions of this schema.
do $$
declare
    built bigint;
begin
    select count(*) into built from provisioning.agents;
    if built > 0 then
        raise exception '% agents still have tables, which would be forgotten', built
            using errcode = 'dependent_objects_still_exist',
                  hint = 'Delete the agents first, and let the worker finish.';
    end if;
end $$;

drop table provisioning.verify_turn;
drop table provisioning.drifted_agents;
drop table provisioning.verified_agents;
drop table provisioning.agent_types;
drop table provisioning.agent_tables;
drop table provisioning.agents;
