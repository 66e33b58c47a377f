-- The trigger-based schema's functions of the same names do not come back.
drop function public.create_agent(uuid, varchar, uuid);
drop function public.update_agent_details(bigint, jsonb, jsonb, uuid);
drop function public.delete_agent(bigint);
drop function public.agent_status(bigint);
drop function public.create_agent_tables(text, bigint);
drop function public.drop_agent_tables(text);
drop function public.create_agent_indexes(text);
drop function public.create_whatsapp_config(uuid, varchar, text, text, varchar, varchar);
drop function public.get_whatsapp_config(uuid);
drop function public.update_whatsapp_config(
    uuid, varchar, text, text, varchar, varchar, boolean, text
);
drop function public.delete_whatsapp_config(uuid);
drop function provisioning.update_agent_details(bigint, jsonb, jsonb, uuid);
drop function provisioning.delete_agent(bigint);
drop function provisioning.agent_status(bigint);
drop function provisioning.agent_state(boolean, boolean, text, text);
drop function provisioning.create_agent_tables(text, bigint);
drop function provisioning.drop_agent_tables(text);
drop function provisioning.create_agent_indexes(text);
drop function provisioning.request(text, bigint, text, uuid, text);
drop function provisioning.unexpected(text, text, text);
drop function provisioning.is_backend();
