-- Records a failed attempt, if the job is still as it was claimed.
-- In the claim's own transaction it always is. After a lost connection the attempt may have been
-- committed after all, or another worker may have failed since: then nothing changes. While another
-- worker has it this waits, and is tried again, so a job that ends every connection it is tried on
-- does run out of attempts.
-- $1 id, $2 attempts as claimed, $3 attempts to add, $4 its state from now on, $5 seconds until the next attempt,
-- $6 error, $7 SQLSTATE, $8 seconds it took, $9 whether it gave way to a lock, $10 the lock on shared tables that
-- was not to be had, $11 whether it waited for that in vain
update provisioning.jobs j
set attempts = j.attempts + $3,
    state = $4,
    finished_at = case when $4 <> 'pending' then clock_timestamp() end,
    run_at = case
        when $10 is not null then provisioning.lock_run_at($10, $11)
        -- Each try holds up whoever uses the agent's tables for as long as it waits.
        when $9 then clock_timestamp() + least(60, $5 * power(1.5, least(j.give_ways, 20))) * interval '1 second'
        else clock_timestamp() + $5 * interval '1 second'
    end,
    give_ways = j.give_ways + $9::int,
    lock_wanted = coalesce($10, case when $9 then 'own tables' end),
    last_error = $6,
    last_sqlstate = $7,
    duration = $8 * interval '1 second'
where j.id = $1 and j.state = 'pending' and j.attempts = $2
returning j.give_ways
