//! What all viewers are shown of the present: asked for seldom, however many they are, and not at all where nobody looks.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::pages::rollouts::Rollouts;
use super::service_side::ServiceSide;
use crate::operations;
use crate::operations::agents::{self, Agent};
use crate::operations::doctor::{self, Finding};
use crate::operations::recent::{self, Recent};
use crate::operations::status::{self, Status};
use crate::service::Instance;
use crate::telemetry::ErrorReport;

/// Between looks at what goes on.
pub(super) const KEPT: Duration = Duration::from_secs(1);
/// Between lists of all agents: of ten thousand that takes the server a second.
const AGENTS_KEPT: Duration = Duration::from_secs(5);
/// Between looks of doctor: it tries the templates, and asks more than a page may cost.
const FINDINGS_KEPT: Duration = Duration::from_mins(1);
/// For all statements of a look.
const TAKES: Duration = Duration::from_secs(15);

/// The present.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) status: Status,
    pub(super) recent: Recent,
}

/// What doctor has found.
#[derive(Debug)]
pub(super) struct Findings {
    at: Instant,
    pub(super) all: Vec<Finding>,
}

impl Findings {
    /// In seconds.
    pub(super) fn age(&self) -> f64 {
        self.at.elapsed().as_secs_f64()
    }
}

/// What there is, or why it is not to be had.
pub(super) type Seen<T> = Arc<Result<T, String>>;

/// The jobs that each open page shows, by a number of the page's.
type Shown = Arc<Lock<BTreeMap<u64, Vec<i64>>>>;

/// The last looks.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    shown: Shown,
    present: Kept<Snapshot>,
    agents: Kept<Vec<Agent>>,
    rollouts: Kept<Rollouts>,
    findings: Kept<Findings>,
}

impl Snapshots {
    /// At most a second old.
    pub(super) async fn latest(&self, instance: &Instance) -> Seen<Snapshot> {
        self.present.seen(KEPT, look(instance, &self.shown)).await
    }

    /// From now on the looks tell the states of these jobs, too, as long as the answer is kept.
    pub(super) fn show(&self, jobs: Vec<i64>) -> Showing {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let page = shown.last_key_value().map_or(0, |(last, _)| last + 1);
        shown.insert(page, jobs);
        Showing { shown: Arc::clone(&self.shown), page }
    }

    /// All agents, at most five seconds old.
    pub(super) async fn agents(&self, instance: &Instance) -> Seen<Vec<Agent>> {
        self.agents.seen(AGENTS_KEPT, agents::list(instance)).await
    }

    /// The newest rollouts, at most a second old.
    pub(super) async fn rollouts(&self, instance: &Instance) -> Seen<Rollouts> {
        self.rollouts.seen(KEPT, Rollouts::read(instance)).await
    }

    /// What doctor finds with the service's role, at most a minute old.
    pub(super) async fn findings(&self, service: &ServiceSide) -> Seen<Findings> {
        let look = async {
            let all = service.look(doctor::examine).await?;
            Ok(Findings { at: Instant::now(), all })
        };
        self.findings.seen(FINDINGS_KEPT, look).await
    }

    /// The next one looks again.
    pub(super) async fn forget_findings(&self) {
        *self.findings.0.lock().await = None;
    }
}

async fn look(instance: &Instance, shown: &Shown) -> Result<Snapshot, operations::Error> {
    let jobs: BTreeSet<i64> = {
        let shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.values().flatten().copied().collect()
    };
    let jobs: Vec<i64> = jobs.into_iter().collect();
    let status = status::read(instance).await?;
    Ok(Snapshot { status, recent: recent::read(instance, &jobs).await? })
}

/// A page that is open.
#[derive(Debug)]
pub(super) struct Showing {
    shown: Shown,
    page: u64,
}

impl Drop for Showing {
    fn drop(&mut self) {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.page);
    }
}

#[derive(Debug)]
struct Kept<T>(Mutex<Option<(Instant, Seen<T>)>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Kept<T> {
    /// What was seen last, or a new look. Those who ask meanwhile wait for the same answer.
    async fn seen(
        &self,
        keep: Duration,
        look: impl Future<Output = Result<T, operations::Error>>,
    ) -> Seen<T> {
        let mut kept = self.0.lock().await;
        if let Some((at, seen)) = kept.as_ref()
            && at.elapsed() < keep
        {
            return Arc::clone(seen);
        }
        let looked = match timeout(TAKES, look).await {
            Ok(looked) => looked.map_err(|error| ErrorReport(&error).to_string()),
            Err(_) => Err(format!("the database has not answered within {TAKES:?}")),
        };
        let seen = Arc::new(looked);
        *kept = Some((Instant::now(), Arc::clone(&seen)));
        seen
    }
}
