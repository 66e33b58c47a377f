drop table provisioning.actions;
drop table provisioning.accepted_findings;
alter table provisioning.jobs drop column plan, drop column plan_begun;
drop table provisioning.rollout_agents;
drop table provisioning.rollouts;
