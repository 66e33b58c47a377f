-- The policies that deploy/roles.sql made for the worker ask provisioning.jobs.
drop policy if exists worker_delete on public.agents;
drop policy if exists worker_select on public.whatsapp_configuration;
drop policy if exists worker_update on public.whatsapp_configuration;
drop trigger enqueue_provision on public.agents;
drop trigger enqueue_deprovision on public.agents;
drop function provisioning.enqueue_provision();
drop function provisioning.enqueue_deprovision();
drop function provisioning.notify(text, text, double precision);
drop function provisioning.refuse_in_trigger();
drop table provisioning.sweep_gate;
drop table provisioning.limit_gate;
drop table provisioning.deleted_agents;
drop table provisioning.agent_tables;
drop table provisioning.agents;
drop table provisioning.jobs;
drop function provisioning.note_schedule();
