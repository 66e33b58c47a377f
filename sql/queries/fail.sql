-- Records a failed attempt, if the job is still as it was claimed.
-- In the claim's own transaction it always is. After a lost connection the attempt may have been
-- committed after all, or another worker may have failed since: then nothing changes. While another
-- worker has it this waits, and is tried again, so a job that ends every connection it is tried on
-- does run out of attempts.
-- $1 id, $2 attempts as claimed, $3 attempts to add, $4 its state from now on, $5 seconds until the next attempt,
-- $6 error, $7 SQLSTATE, $8 seconds it took
update provisioning.jobs j
set attempts = j.attempts + $3,
    state = $4,
    finished_at = case when $4 <> 'pending' then clock_timestamp() end,
    run_at = clock_timestamp() + $5 * interval '1 second',
    last_error = $6,
    last_sqlstate = $7,
    duration = $8 * interval '1 second'
where j.id = $1 and j.state = 'pending' and j.attempts = $2
