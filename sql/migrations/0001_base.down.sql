-- No cascade on the tables: while an agent's tables refer to agents, this stops.
-- auth.users is not ours, so its two triggers go with their function.
drop function provisioning.sync_user() cascade;
drop table public.whatsapp_configuration;
drop table public.agents;
drop table public.users;
drop type public.role;
drop function provisioning.put_user(uuid, text, text, text);
drop function provisioning.user_name(text, jsonb);
drop function provisioning.guard_agent();
drop function provisioning.keep_identity();
drop function provisioning.is_admin();
