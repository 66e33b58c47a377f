drop table provisioning.actions;
drop table provisioning.accepted_findings;
-- An older program knows no restores.
delete from provisioning.jobs where kind = 'restore';
drop index provisioning.jobs_finished_prefix_idx, provisioning.jobs_finished_kind_idx, provisioning.jobs_cancelled_idx,
    provisioning.jobs_error_idx;
alter table provisioning.jobs
    drop constraint jobs_kind_check,
    add constraint jobs_kind_check check (kind in ('provision', 'deprovision', 'upgrade', 'repair', 'convert')),
    drop column trash_item, drop column plan, drop column plan_begun;
drop table provisioning.rollout_agents;
drop table provisioning.rollouts;
