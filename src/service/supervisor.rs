//! Many databases in one process: each has its own tasks, and none waits for another's.
//!
//! Where the work on one cannot begin, or a part of it ends or stands still, it is begun anew after a while. The process and the
//! work on the others go on.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::database_stats::DatabaseStats;
use super::http::Http;
use super::instance::Instance;
use super::parts::Parts;
use super::run::{Checked, Error, begin, serve_probes};
use super::served::Served;
use super::shutdown::{End, Shutdown};
use crate::config::DatabaseName;
use crate::postgres::backoff;
use crate::telemetry::{ErrorReport, Metrics, Unready, of_database};
use crate::worker::Budget;

/// Between looks at whether the workers of a database move.
const LOOK: Duration = Duration::from_secs(5);
/// After so long, a connection is closed that nobody uses: with many databases they add up.
const IDLE: Duration = Duration::from_secs(30);
/// After so long, an end has nothing to do with the one before.
const STEADY: Duration = Duration::from_mins(10);

/// One of many databases.
struct Supervised {
    name: DatabaseName,
    instance: Instance,
    checked: Checked,
    metrics: Arc<Metrics>,
    budget: Option<Arc<Budget>>,
}

/// Runs until a signal or `end`. `beside` adds parts of another layer. Fails only for settings and template files that cannot be
/// used, before anything is begun.
pub async fn run_many(
    instances: Vec<(DatabaseName, Instance)>,
    beside: impl FnOnce(&Parts),
    end: impl Future<Output = ()>,
) -> Result<End, Error> {
    let shutdown = Shutdown::new()?;
    let settings = instances.first().map(|(_, instance)| instance.config.clone());
    let settings = settings.unwrap_or_default();
    let mut budgets = Budget::shares(settings.worker.total_concurrency, instances.len());
    let mut supervised = Vec::new();
    for (name, instance) in instances {
        let blame = |source| Error::OfDatabase { name: name.clone(), source: Box::new(source) };
        let checked = Checked::new(&instance).map_err(blame)?;
        let metrics = Arc::new(Metrics::of(Some(name.as_str())));
        let budget = budgets.next().flatten();
        supervised.push(Supervised { name, instance, checked, metrics, budget });
    }
    let http = match settings.http.listen {
        Some(address) => Some(Http::bind(address).await?),
        None => None,
    };
    let served = supervised.iter().map(|it| {
        let stats = DatabaseStats::new(it.instance.db.clone(), Some(it.name.clone()));
        (it.name.clone(), Arc::clone(&it.metrics), stats)
    });
    serve_probes(http, Served::many(served), &shutdown.parts);
    beside(&shutdown.parts);
    tell_of_start(&supervised);
    for it in supervised {
        let (stop, abort) = (shutdown.parts.stop.clone(), shutdown.parts.abort.clone());
        let span = of_database(&it.name);
        shutdown.parts.vital("supervisor", it.supervise(stop, abort).instrument(span));
    }
    Ok(shutdown.wait(end, settings.worker.shutdown_timeout).await)
}

impl Supervised {
    /// Works on the database until `stop`, and begins anew wherever that ends before.
    async fn supervise(self, stop: CancellationToken, abort: CancellationToken) {
        let liveness = &self.metrics.liveness;
        let mut failures = 0;
        loop {
            let started = Instant::now();
            let parts = Parts::within(&stop, &abort, of_database(&self.name));
            let Some(reason) = self.work(&parts, &stop).await else {
                parts.ended().await;
                return;
            };
            if started.elapsed() > STEADY {
                failures = 0;
            }
            let wait = backoff::refused(failures, fastrand::f64());
            if backoff::worth_a_line(failures) {
                let error = &reason;
                tracing::error!(error, retry_in = ?wait, "the work on this database has ended");
            }
            failures = failures.saturating_add(1);
            liveness.failed(Unready::cannot_begin(reason));
            let late = async {
                tokio::time::sleep(self.instance.config.worker.shutdown_timeout).await;
                "worker.shutdown_timeout is over"
            };
            liveness.while_waiting(parts.end(late)).await;
            let rested = stop.run_until_cancelled(tokio::time::sleep(wait));
            if liveness.while_waiting(rested).await.is_none() {
                return;
            }
            self.metrics.restarted();
        }
    }

    /// Works until something ends that should not, and says what. `None`: `stop` came first.
    async fn work(&self, parts: &Parts, stop: &CancellationToken) -> Option<String> {
        let Self { instance, checked, metrics, budget, .. } = self;
        let begun = tokio::select! {
            begun = begin(instance, checked, metrics, budget.clone(), parts) => begun,
            () = stop.cancelled() => return None,
        };
        if let Err(error) = begun {
            return Some(ErrorReport(&error).to_string());
        }
        tokio::select! {
            () = parts.died() => Some("a part of it ended unasked".to_owned()),
            reason = self.stuck() => Some(reason),
            () = stop.cancelled() => None,
        }
    }

    /// Returns when no worker has moved for half a minute. Meanwhile it closes connections that the start or a sweep needed.
    async fn stuck(&self) -> String {
        loop {
            tokio::time::sleep(LOOK).await;
            self.instance.db.close_idle(IDLE);
            if let Err(reason) = self.metrics.liveness.live() {
                return reason;
            }
        }
    }
}

/// With the sums that matter to whoever sizes the servers.
fn tell_of_start(supervised: &[Supervised]) {
    let configs = || supervised.iter().map(|it| &it.instance.config);
    let jobs: usize = configs().map(|config| config.worker.concurrency).sum();
    let total = configs().find_map(|config| config.worker.total_concurrency);
    let connections: usize = configs().map(|config| config.database.pool_size + 1).sum();
    let names: Vec<_> = supervised.iter().map(|it| it.name.as_str()).collect();
    tracing::info!(
        databases = names.join(","),
        max_jobs = total.map_or(jobs, |total| total.min(jobs)),
        max_connections = connections,
        "working on many databases"
    );
}
