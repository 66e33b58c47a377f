drop trigger refuse_foreign_code on public.agents;
drop function provisioning.refuse_foreign_code();
drop trigger refuse_truncate on public.agents;
drop function provisioning.refuse_truncate();
drop function provisioning.remove_agent(bigint, bigint);
drop function provisioning.leaving_agent(bigint);
drop function provisioning.hold_agent(bigint, text);
drop function provisioning.living_agents(bigint[]);
drop function provisioning.require_agents();
