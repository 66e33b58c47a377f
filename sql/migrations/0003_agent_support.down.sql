-- The policies and triggers of agents' tables hang on these functions: no cascade.
do $$
declare
    built bigint;
begin
    select count(*) into built from provisioning.agents;
    if built > 0 then
        raise exception '% agents still have tables that use these functions', built
            using errcode = 'dependent_objects_still_exist',
                  hint = 'Delete the agents first, and let the worker finish.';
    end if;
end $$;

drop policy no_api_access on provisioning.migrations;
drop policy no_api_access on provisioning.jobs;
drop policy no_api_access on provisioning.agents;
drop policy no_api_access on provisioning.agent_tables;
drop policy no_api_access on provisioning.deleted_agents;
drop trigger touch_updated_at on public.whatsapp_configuration;
drop function provisioning.total_orders();
drop function provisioning.touch_updated_at();
drop function provisioning.next_id(bigint, regclass, name);
drop function provisioning.owned_agent(bigint);
