-- What paces locks on the tables that all agents share: see sql/base/70_agents_lock.sql.

-- Only one worker at a time asks. A table, since anybody may take an advisory lock. It stays empty.
create table provisioning.lock_gate (id boolean primary key);

-- When things happened, in microseconds since 1970. Sequences: their values survive the rollback of the job
-- that did not get its lock, and the next worker sees them before that rollback.
create sequence provisioning.lock_budget minvalue 0 start 0;           -- nobody waits before
create sequence provisioning.lock_writers_since minvalue 0 start 0;    -- the first of the waits in vain
create sequence provisioning.lock_writers_last minvalue 0 start 0;     -- the last of them
create sequence provisioning.lock_all_since minvalue 0 start 0;
create sequence provisioning.lock_all_last minvalue 0 start 0;
