//! The sweep that makes up for lost events: agents × registry → the jobs that are missing; and that
//! empties the trash.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, IsolationLevel};
use tokio_util::sync::CancellationToken;

use super::limits::Limits;
use super::purge;
use super::wakeup::WakeupSignal;
use crate::postgres::{self, Db};
use crate::queue::{admin, lock_holders};
use crate::telemetry::{ErrorReport, Metrics, Wakeup, caught};

/// Level-triggered: it looks at what is, not at what was reported. It also ends sessions of ours that
/// nobody would.
///
/// That an agent is gone has to be proven: where row security may hide agents, nothing is queued, and
/// [`crate::telemetry::Liveness`] says so.
#[derive(Debug)]
pub(crate) struct Reconcile {
    pub db: Db,
    /// What was found is counted here.
    pub metrics: Arc<Metrics>,
    /// Told when jobs were added.
    pub wake: Arc<WakeupSignal>,
    /// A sweep out of turn is asked for here.
    pub asked: Arc<Notify>,
    /// Between sweeps.
    pub interval: Duration,
    /// What bounds the purge of one agent.
    pub limits: Limits,
    /// Longer than any sweep takes.
    pub patience: Duration,
    /// How long finished jobs are kept; zero for ever.
    pub keep: Duration,
}

/// Between looks for jobs that are old.
const PRUNE_EVERY: Duration = Duration::from_hours(1);

impl Reconcile {
    /// Sweeps at once, at every interval and when asked, until told to stop.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut pruned: Option<Instant> = None;
        loop {
            let swept = tokio::select! {
                swept = caught(self.sweep()) => swept,
                () = stop.cancelled() => return,
            };
            self.metrics.swept(matches!(swept, Ok(Ok(()))));
            match swept {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(error = %ErrorReport(&error), "cannot reconcile"),
                Err(error) => tracing::error!(error, "cannot reconcile"),
            }
            if pruned.is_none_or(|at| at.elapsed() > PRUNE_EVERY) {
                pruned = Some(Instant::now());
                tokio::select! {
                    () = self.prune() => {}
                    () = stop.cancelled() => return,
                }
            }
            tokio::select! {
                () = tokio::time::sleep(self.interval) => {}
                () = self.asked.notified() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Forgets finished jobs that are old, in short statements.
    async fn prune(&self) {
        if self.keep.is_zero() {
            return;
        }
        let pruning = async {
            let client = self.db.get().await?;
            Ok::<_, postgres::Error>(admin::prune(&client, self.keep, false).await?)
        };
        match caught(timeout(self.patience, pruning)).await {
            Ok(Ok(Ok(0)) | Err(_)) => {}
            Ok(Ok(Ok(jobs))) => tracing::info!(jobs, "forgot old jobs"),
            Ok(Ok(Err(error))) => {
                tracing::warn!(error = %ErrorReport(&error), "cannot forget old jobs");
            }
            Err(error) => tracing::error!(error, "cannot forget old jobs"),
        }
    }

    /// A connection that broke, or that says nothing, is closed.
    async fn sweep(&self) -> Result<(), postgres::Error> {
        let mut client = self.db.get().await?;
        let swept = timeout(self.patience, async {
            // First: one of them may be another's sweep, and have the lock.
            end_silent(&client).await?;
            self.compare(&mut client).await
        });
        let mut swept = swept.await.unwrap_or(Err(postgres::Error::Silent(self.patience)));
        if let Ok(true) = swept {
            let purged = timeout(self.patience, purge::purge(&mut client, &self.limits)).await;
            let purged = purged.unwrap_or(Err(postgres::Error::Silent(self.patience)));
            swept = purged.map(|agents| self.metrics.purged(agents)).and(Ok(true));
        }
        if swept.is_err() {
            Db::close(client);
        }
        swept.map(drop)
    }

    /// Says whether something in the trash is to go.
    async fn compare(&self, client: &mut Client) -> Result<bool, postgres::Error> {
        // A pooler may hand out sessions with another level.
        let tx = client
            .build_transaction()
            .isolation_level(IsolationLevel::ReadCommitted)
            .start()
            .await?;
        let rows = tx.query_typed(include_str!("../../sql/worker/reconcile.sql"), &[]).await;
        if rows.as_ref().is_ok_and(Vec::is_empty) {
            return Ok(false); // another sweep is under way
        }
        self.prove(rows.as_ref().err());
        let rows = rows?;
        tx.commit().await?;
        let Some(found) = rows.first() else { return Ok(false) };
        self.metrics.agents_hidden(found.get("hidden"));
        let (missing, orphaned): (i64, i64) = (found.get("missing"), found.get("orphaned"));
        if missing + orphaned > 0 {
            tracing::warn!(missing, orphaned, "reconcile found what no trigger had reported");
            let count = |found: i64| found.try_into().unwrap_or_default();
            self.metrics.reconciled(count(missing), count(orphaned));
            self.wake.now(Wakeup::Reconcile);
        }
        self.end_clock_waits(found.get("clock_waits"));
        let expired = found.get("expired");
        tell_of_locked_prefixes(client).await?;
        Ok(expired)
    }

    /// Keeps whether the last sweep could tell who exists. The server refuses to answer where row security
    /// would filter the answer.
    fn prove(&self, refused: Option<&tokio_postgres::Error>) {
        let privilege = |error: &&tokio_postgres::Error| {
            error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE)
        };
        let refused = refused.filter(privilege);
        let was_proven = self.metrics.liveness.last_proof().is_ok();
        self.metrics
            .liveness
            .proven(refused.map_or(Ok(()), |error| Err(ErrorReport(error).to_string())));
        self.metrics.agents_unproven(refused.is_some());
        match refused {
            Some(error) if was_proven => tracing::error!(
                error = %ErrorReport(error),
                "cannot tell which agents are gone: no tables are dropped for being without an agent; \
                 see `agent-provisioner doctor`"
            ),
            None if !was_proven => tracing::info!("which agents are gone can be told again"),
            Some(_) | None => {}
        }
    }

    /// Jobs that are due because the server's clock was set back after they were scheduled.
    fn end_clock_waits(&self, jobs: i64) {
        if jobs > 0 {
            tracing::warn!(
                jobs,
                "the server's clock was set back: what it would have delayed is due now"
            );
            self.wake.now(Wakeup::Reconcile);
        }
    }
}

/// Nobody takes a job whose prefix somebody else has locked, so no attempt of it tells of that.
async fn tell_of_locked_prefixes(client: &Client) -> Result<(), postgres::Error> {
    for holder in lock_holders(client).await?.iter().filter(|holder| holder.prefix.is_some()) {
        let prefix = holder.prefix.as_deref().unwrap_or_default();
        let way_out = holder.way_out.as_str();
        tracing::warn!(agent.prefix = prefix, %holder, way_out, "jobs of a prefix are held up");
    }
    Ok(())
}

/// Sessions that wait in vain for the rest of a statement, see the query.
async fn end_silent(client: &Client) -> Result<(), postgres::Error> {
    let sql = include_str!("../../sql/worker/reconcile_end_silent.sql");
    let silence = postgres::IDLE_IN_TRANSACTION.as_secs_f64();
    let ended = client.query_typed(sql, &[(&silence, Type::FLOAT8)]).await?.len();
    if ended > 0 {
        tracing::warn!(ended, "ended sessions that fell silent in the middle of a statement");
    }
    Ok(())
}
