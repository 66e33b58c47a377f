drop table provisioning.sweep_gate;
drop table provisioning.limit_gate;
drop table provisioning.deleted_agents;
drop table provisioning.attempts;
drop table provisioning.jobs;
