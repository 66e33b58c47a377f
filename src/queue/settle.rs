//! Recording what became of a job.
//!
//! The worker's role may write nothing in `provisioning.jobs`: it calls functions of the schema, which keep the rules of
//! the queue.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::failure::Failure;
use super::job::{Job, PrefixOwner};
use super::kind::Kind;
use super::outcome::Outcome;
use super::retry_policy::RetryPolicy;
use crate::postgres::{self, backoff};

/// Cancels what a deprovision makes pointless: its agent's earlier open jobs.
pub(crate) async fn cancel_earlier(
    client: &Client,
    job: &Job,
) -> Result<(), tokio_postgres::Error> {
    let sql = "select provisioning.cancel_earlier($1)";
    client.query_typed(sql, &[(&job.id, Type::INT8)]).await.map(drop)
}

/// Records the outcome, tells listeners (at commit) and commits, in one round trip. An unfinished
/// job keeps its place in the queue.
///
/// Nobody waits, and `agents` is not kept locked, until the log with what was built is flushed: if the
/// server crashes in that moment it has lost tables and record together, and the job is done again.
/// A synchronous commit of anybody's flushes them, too (PostgreSQL manual, Asynchronous Commit). That
/// an agent is gone nobody hears before it is flushed.
///
/// Citus commits on other servers right after this one's commit: were that lost in a crash, they would keep the tables. So
/// with Citus each commit is flushed.
pub(crate) async fn succeed(
    client: &Client,
    job: &Job,
    outcome: Outcome,
    took: Duration,
) -> Result<(), tokio_postgres::Error> {
    if outcome == Outcome::MoreToDo {
        return leave(client, job).await;
    }
    if let (Outcome::Requeued, PrefixOwner::Former(former)) = (outcome, job.registered) {
        let requeue = "select provisioning.requeue_behind_former($1, $2)";
        let ids: [(&(dyn ToSql + Sync), Type); 2] =
            [(&job.id, Type::INT8), (&former.0, Type::INT8)];
        client.query_typed(requeue, &ids).await?;
        return client.batch_execute("commit").await;
    }
    let settle = "select provisioning.settle($1, $2, $3), \
                  provisioning.notify('agent_provisioned', json_build_object(\
                  'agent_id', $4, 'state', $5)::text), \
                  case when $6 then provisioning.notify('pgrst', 'reload schema') end, \
                  case when $5 = 'ready' and not exists (\
                      select from pg_catalog.pg_extension e where e.extname = 'citus') \
                  then set_config('synchronous_commit', 'off', true) end";
    let state = match outcome {
        Outcome::Provisioned
        | Outcome::Unchanged
        | Outcome::Repaired
        | Outcome::Drifted { .. }
        | Outcome::Upgraded
        | Outcome::MoreToDo
        | Outcome::Converted
        | Outcome::Restored { .. } => "ready",
        // A deletion that nobody asked for, of an agent that exists after all.
        Outcome::Superseded if job.kind() == Kind::Deprovision => "ready",
        Outcome::Superseded
        | Outcome::Requeued
        | Outcome::Deprovisioned
        | Outcome::Trashed
        | Outcome::RowDeleted => "gone",
    };
    let settled: [(&(dyn ToSql + Sync), Type); 6] = [
        (&job.id, Type::INT8),
        (&outcome.as_str(), Type::TEXT),
        (&took.as_secs_f64(), Type::FLOAT8),
        (&job.agent_id.0, Type::INT8),
        (&state, Type::TEXT),
        (&has_news(job, outcome), Type::BOOL),
    ];
    let (settled, committed) = tokio::join!(
        biased;
        client.query_typed(settle, &settled),
        client.batch_execute("commit"),
    );
    settled.map(drop).and(committed)
}

/// Whether the job changed what PostgREST shows. PostgREST reads the whole schema anew when it is told so.
fn has_news(job: &Job, outcome: Outcome) -> bool {
    match outcome {
        Outcome::Provisioned | Outcome::Repaired | Outcome::Upgraded | Outcome::Converted => true,
        Outcome::Drifted { mended } => mended,
        // What is not registered is not dropped.
        Outcome::Deprovisioned | Outcome::Trashed => job.registered == PrefixOwner::This,
        // A restore tells it while it has the rights.
        Outcome::Restored { .. }
        | Outcome::Unchanged
        | Outcome::Superseded
        | Outcome::Requeued
        | Outcome::RowDeleted
        | Outcome::MoreToDo => false,
    }
}

/// Commits the first part of a job that stays in the queue, in one round trip: a deletion has `agents` locked.
async fn leave(client: &Client, job: &Job) -> Result<(), tokio_postgres::Error> {
    let end = "select set_config('synchronous_commit', 'off', true) where not exists (\
                   select from pg_catalog.pg_extension e where e.extname = 'citus'); commit";
    let note = match job.kind() {
        Kind::Deprovision => "select provisioning.begin_deletion($1)",
        Kind::Repair if job.plan.is_some() => "select provisioning.begin_repair($1)",
        Kind::Provision | Kind::Upgrade | Kind::Repair | Kind::Convert | Kind::Restore => {
            return client.batch_execute(end).await;
        }
    };
    let (noted, committed) = tokio::join!(
        biased;
        async { client.query_typed(note, &[(&job.id, Type::INT8)]).await },
        client.batch_execute(end),
    );
    noted.map(drop).and(committed)
}

/// Records an attempt that failed a while ago, in the transaction that is open, or in one of its own.
///
/// The job waits from then on: after a server's restart that is over. How often the job gave way by now;
/// `None` where it was no longer as it had been claimed.
pub(crate) async fn fail(
    client: &Client,
    job: &Job,
    failure: &Failure,
    ago: Duration,
    max_attempts: i32,
) -> Result<Option<i32>, tokio_postgres::Error> {
    let used = i32::from(matches!(failure.policy, RetryPolicy::Retry | RetryPolicy::Fail));
    let state = failure.next_state(job.attempts, max_attempts);
    let wait = match failure.policy {
        RetryPolicy::RetryWithoutCounting(wait) => wait.draw(fastrand::f64()),
        RetryPolicy::Retry | RetryPolicy::Fail | RetryPolicy::Pause => {
            backoff::job(job.attempts, fastrand::f64())
        }
    };
    let lock = failure.refusal.map(|refusal| refusal.mode.as_str());
    let waited = failure.refusal.is_some_and(|refusal| refusal.waited);
    let recorded = client
        .query_typed(
            "select set_config('provisioning.host', $11, true), set_config('provisioning.pid', $12, true), \
                    provisioning.record_failure($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::text::jsonb) as give_ways",
            &[
                (&job.id, Type::INT8),
                (&job.attempts, Type::INT4),
                (&used, Type::INT4),
                (&state, Type::TEXT),
                (&wait.saturating_sub(ago).as_secs_f64(), Type::FLOAT8),
                (&failure.took.as_secs_f64(), Type::FLOAT8),
                (&failure.gave_way(), Type::BOOL),
                (&lock, Type::TEXT),
                (&waited, Type::BOOL),
                (&failure.record(ago), Type::TEXT),
                (&postgres::host(), Type::TEXT),
                (&std::process::id().to_string(), Type::TEXT),
            ],
        )
        .await?;
    recorded.first().map_or(Ok(None), |row| row.try_get("give_ways"))
}
