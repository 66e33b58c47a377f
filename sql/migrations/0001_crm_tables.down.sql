-- No cascade: while an agent's tables refer to agents, this stops. The functions of the trigger-based schema
-- do not come back.
drop table public.whatsapp_configuration;
drop table public.agents;
drop table public.users;
drop type public.role;
