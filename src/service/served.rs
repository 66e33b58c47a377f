//! What probes, Prometheus and systemd are told of one database, or of many.

use std::fmt;
use std::sync::Arc;

use futures_util::future::{join_all, select_all};
use tokio::sync::watch;

use super::database_stats::DatabaseStats;
use crate::config::DatabaseName;
use crate::telemetry::{Metrics, Printable, Unready, merged, of_database};

/// Every database of this process.
#[derive(Debug)]
pub struct Served {
    databases: Vec<OfDatabase>,
}

/// One of them.
#[derive(Debug)]
struct OfDatabase {
    /// Where each has one.
    name: Option<DatabaseName>,
    metrics: Arc<Metrics>,
    stats: DatabaseStats,
    /// The code that the log has last explained.
    explained: watch::Sender<Option<&'static str>>,
}

impl Served {
    /// The only one, which has no name.
    pub fn one(metrics: Arc<Metrics>, stats: DatabaseStats) -> Self {
        Self { databases: vec![OfDatabase::new(None, metrics, stats)] }
    }

    /// Those that have names.
    pub(super) fn many(
        databases: impl IntoIterator<Item = (DatabaseName, Arc<Metrics>, DatabaseStats)>,
    ) -> Self {
        let of = |(name, metrics, stats)| OfDatabase::new(Some(name), metrics, stats);
        Self { databases: databases.into_iter().map(of).collect() }
    }

    /// Fails, with a reason, when no worker of any database has moved for 30 s. One database's workers that stand still are no
    /// reason to end the others': the supervisor starts them anew.
    pub(super) fn live(&self) -> Result<(), String> {
        let mut reason = String::new();
        for database in &self.databases {
            match database.metrics.liveness.live() {
                Ok(()) => return Ok(()),
                Err(why) => reason = why,
            }
        }
        Err(reason)
    }

    /// Whether it is ready, and what to say: of the one that is `named`, else of all. All are ready when one is, so that nobody
    /// ends or leaves out the others for the sake of one. `None`: there is none of that name.
    pub(super) async fn ready(&self, named: Option<&str>) -> Option<(bool, String)> {
        let is_named = |it: &&OfDatabase| {
            named.is_none_or(|named| it.name.as_ref().is_some_and(|name| name.as_str() == named))
        };
        let asked: Vec<_> = self.databases.iter().filter(is_named).collect();
        let told = join_all(asked.iter().map(|it| it.tell())).await;
        let is_ready = told.iter().any(|(ready, _)| *ready);
        let lines: Vec<_> = told.into_iter().map(|(_, line)| line).collect();
        (!lines.is_empty()).then(|| (is_ready, lines.join("\n")))
    }

    /// The metrics of all, as one text.
    pub(super) async fn exposition(&self) -> Result<String, fmt::Error> {
        let exposed = join_all(self.databases.iter().map(OfDatabase::expose)).await;
        let texts = exposed.into_iter().collect::<Result<Vec<_>, _>>()?;
        match texts.as_slice() {
            [text] => Ok(text.clone()),
            texts => Ok(merged(texts.iter().map(String::as_str))),
        }
    }

    /// Returns once a worker of any database has looked at the queue.
    pub(super) async fn first_look(&self) {
        let looks = self.databases.iter().map(|it| Box::pin(it.metrics.liveness.first_look()));
        select_all(looks).await;
    }

    /// In a line for systemd.
    pub(super) fn status(&self) -> String {
        if let [OfDatabase { name: None, metrics, .. }] = self.databases.as_slice() {
            return status(metrics).unwrap_or_else(|reason| reason);
        }
        let failed = |it: &OfDatabase| Some((it.name.clone()?, status(&it.metrics).err()?));
        let failed: Vec<_> = self.databases.iter().filter_map(failed).collect();
        let (all, working) = (self.databases.len(), self.databases.len() - failed.len());
        let reasons = failed.iter().map(|(name, reason)| format!("; {name}: {reason}"));
        format!("working on {working} of {all} databases{}", reasons.collect::<String>())
    }
}

impl OfDatabase {
    fn new(name: Option<DatabaseName>, metrics: Arc<Metrics>, stats: DatabaseStats) -> Self {
        Self { name, metrics, stats, explained: watch::Sender::new(None) }
    }

    async fn ready(&self) -> Result<(), Unready> {
        self.metrics.liveness.last_look()?;
        self.stats.seen().await.schema.clone()?;
        self.metrics.liveness.last_proof()
    }

    /// Whether it is ready, and the line that says so.
    async fn tell(&self) -> (bool, String) {
        let ready = self.ready().await;
        self.explain(ready.as_ref().copied());
        let code = ready.as_ref().err().map_or("ready", |unready| unready.code);
        let name = self.name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
        (ready.is_ok(), name + code)
    }

    async fn expose(&self) -> Result<String, fmt::Error> {
        if self.name.is_some() {
            self.metrics.database_ready(self.ready().await.is_ok());
        }
        let seen = self.stats.seen().await;
        self.metrics.expose(seen.gauges.as_ref().map(|(_, gauges)| gauges), seen.counted)
    }

    /// Tells the log what the code leaves out, once.
    fn explain(&self, ready: Result<(), &Unready>) {
        let code = ready.err().map(|unready| unready.code);
        if !self.explained.send_if_modified(|last| std::mem::replace(last, code) != code) {
            return;
        }
        let _span = self.name.as_ref().map(|name| of_database(name).entered());
        match ready {
            Ok(()) => tracing::info!("ready"),
            Err(Unready { code, reason }) => tracing::warn!(code, reason, "not ready"),
        }
    }
}

/// How the work goes, or why it does not.
fn status(metrics: &Metrics) -> Result<String, String> {
    let liveness = &metrics.liveness;
    let state =
        liveness.live().and_then(|()| liveness.last_look().map_err(|unready| unready.reason));
    let notified = if metrics.is_listening() {
        "working, woken by notifications"
    } else {
        "working, but polling: no notifications arrive"
    };
    state.map_err(|reason| Printable(reason).to_string()).map(|()| notified.to_owned())
}
