drop trigger enqueue_provision on public.agents;
drop trigger enqueue_deprovision on public.agents;
drop function provisioning.enqueue_provision();
drop function provisioning.enqueue_deprovision();
drop table provisioning.agent_tables;
drop table provisioning.agents;
drop table provisioning.jobs;
