drop sequence provisioning.lock_budget, provisioning.lock_writers_since, provisioning.lock_writers_last,
    provisioning.lock_all_since, provisioning.lock_all_last;
drop table provisioning.lock_gate;
