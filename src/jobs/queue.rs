//! Every statement on `provisioning.jobs` that the worker sends. It writes by functions of the schema, which
//! keep the rules of the queue; its role may write nothing there.
//!
//! Claim and work are one transaction: the lock on the job's row is held by the very transaction
//! that does the work, so a free row means that nothing can commit for it any more, and the effect
//! and its record commit together. Statements are sent unnamed and with their types, so nothing of
//! them stays in a session: a transaction-mode pooler is fine.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::attempt::Failure;
use super::job::{Job, Kind};
use crate::agent::{Outcome, Registered};
use crate::backoff;
use crate::db;
use crate::retry_policy::RetryPolicy;

/// What a worker takes; other kinds wait for a program that knows them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Takes {
    /// Upgrades up to this template version; `None`: none, since they may take long.
    pub(super) upgrades: Option<i32>,
}

const ALWAYS: [&str; 4] = ["provision", "deprovision", "repair", "convert"];
const WITH_UPGRADES: [&str; 5] = ["provision", "deprovision", "repair", "convert", "upgrade"];

impl Takes {
    fn kinds(self) -> &'static [&'static str] {
        if self.upgrades.is_some() { &WITH_UPGRADES } else { &ALWAYS }
    }
}

/// What a look at the queue says about the next one.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// Seconds until a job is due, at most; 0: one is due and may be had soon. `None`: never.
    pub(super) wait: Option<f64>,
    /// Of the schema.
    pub(super) version: i32,
}

/// Opens a transaction and claims the next job, in one round trip. `None`: nothing to do now.
///
/// The transaction is open afterwards, in both cases; an error leaves the connection unfit for use.
pub(super) async fn claim(
    client: &Client,
    begin: &str,
    takes: Takes,
) -> Result<Option<Job>, tokio_postgres::Error> {
    // The name shows a DBA in pg_stat_activity what this transaction is doing.
    let sql = "select c.*, set_config('application_name', 'agent-provisioner job ' || c.id, true) \
               from provisioning.claim($1, $2, $3) c";
    let asked: [(&(dyn ToSql + Sync), Type); 3] = [
        (&takes.kinds(), Type::TEXT_ARRAY),
        (&db::schema_version(), Type::INT4),
        (&takes.upgrades, Type::INT4),
    ];
    let (opened, claimed) = tokio::join!(
        biased;
        client.batch_execute(begin),
        client.query_typed(sql, &asked),
    );
    opened?;
    claimed?.first().map(Job::read).transpose()
}

/// What there is to come, for a worker that has nothing to do.
pub(super) async fn look_ahead(
    client: &Client,
    takes: Takes,
) -> Result<Ahead, tokio_postgres::Error> {
    let sql = "select * from provisioning.next_due($1, $2)";
    let (kinds, version) = (takes.kinds(), takes.upgrades);
    let rows =
        client.query_typed(sql, &[(&kinds, Type::TEXT_ARRAY), (&version, Type::INT4)]).await?;
    let Some(row) = rows.first() else { return Ok(Ahead::default()) };
    Ok(Ahead { wait: row.try_get("wait")?, version: row.try_get("version")? })
}

/// Cancels what a deprovision makes pointless: its agent's earlier open jobs.
pub(super) async fn cancel_earlier(
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
pub(super) async fn succeed(
    client: &Client,
    job: &Job,
    outcome: Outcome,
    took: Duration,
) -> Result<(), tokio_postgres::Error> {
    if outcome == Outcome::Unfinished {
        return leave(client, job).await;
    }
    if let (Outcome::Requeued, Registered::Former(former)) = (outcome, job.registered) {
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
                  case when $5 = 'ready' then set_config('synchronous_commit', 'off', true) end";
    let state = match outcome {
        Outcome::Provisioned
        | Outcome::Unchanged
        | Outcome::Repaired
        | Outcome::Drifted { .. }
        | Outcome::Upgraded
        | Outcome::Unfinished
        | Outcome::Converted => "ready",
        // A deletion that nobody asked for, of an agent that exists after all.
        Outcome::Superseded if job.kind == Kind::Deprovision => "ready",
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
        Outcome::Deprovisioned | Outcome::Trashed => job.registered == Registered::This,
        Outcome::Unchanged
        | Outcome::Superseded
        | Outcome::Requeued
        | Outcome::RowDeleted
        | Outcome::Unfinished => false,
    }
}

/// Commits the first part of a job that stays in the queue, in one round trip: a deletion has `agents` locked.
async fn leave(client: &Client, job: &Job) -> Result<(), tokio_postgres::Error> {
    let end = "set local synchronous_commit = off; commit";
    if job.kind != Kind::Deprovision {
        return client.batch_execute(end).await;
    }
    let note = "select provisioning.begin_deletion($1)";
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
pub(super) async fn fail(
    client: &Client,
    job: &Job,
    failure: &Failure,
    ago: Duration,
    max_attempts: i32,
) -> Result<Option<i32>, tokio_postgres::Error> {
    let used = i32::from(matches!(failure.policy, RetryPolicy::Retry | RetryPolicy::Fail));
    let state = job.next_state(failure, max_attempts);
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
            "select provisioning.record_failure($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) as give_ways",
            &[
                (&job.id, Type::INT8),
                (&job.attempts, Type::INT4),
                (&used, Type::INT4),
                (&state, Type::TEXT),
                (&wait.saturating_sub(ago).as_secs_f64(), Type::FLOAT8),
                (&failure.error, Type::TEXT),
                (&failure.sqlstate, Type::TEXT),
                (&failure.took.as_secs_f64(), Type::FLOAT8),
                (&failure.gave_way(), Type::BOOL),
                (&lock, Type::TEXT),
                (&waited, Type::BOOL),
            ],
        )
        .await?;
    recorded.first().map_or(Ok(None), |row| row.try_get("give_ways"))
}
