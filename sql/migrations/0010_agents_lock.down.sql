drop function provisioning.lock_shared(text, text[], text[]);
drop function provisioning.lock_holders();
drop function provisioning.lock_holder(integer, text);
drop function provisioning.is_own_session(oid, text);
drop function provisioning.lock_run_at(text, boolean);
drop function provisioning.peek_agent(bigint);
drop function provisioning.pause_lock_waits(interval);
drop function provisioning.free_lock_waiters(boolean);
drop function provisioning.lock_referenced(regclass[], text, boolean);
drop function provisioning.require_lock_turn(text);
drop function provisioning.lock_pace(text);
drop index provisioning.jobs_lock_idx;
alter table provisioning.jobs drop column give_ways, drop column lock_wanted;
drop sequence provisioning.lock_budget, provisioning.lock_writers_since, provisioning.lock_writers_last,
    provisioning.lock_all_since, provisioning.lock_all_last;
drop table provisioning.lock_gate;
