drop trigger refuse_truncate on public.agents;
drop function provisioning.refuse_truncate();
drop function provisioning.hold_agent(bigint, text);
drop function provisioning.living_agents(bigint[]);
