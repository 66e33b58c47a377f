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
use crate::operations::agents::{self, ListedAgent};
use crate::operations::doctor::{self, Finding};
use crate::operations::recent::{self, Recent};
use crate::operations::status::Status;
use crate::service::Instance;
use crate::telemetry::ErrorReport;

/// Between looks at what goes on.
pub(super) const KEPT: Duration = Duration::from_secs(1);
/// Between lists of all agents.
const AGENTS_KEPT: Duration = Duration::from_secs(5);
/// Between looks for tables that were renamed: each goes through the whole catalog.
const RENAMED_KEPT: Duration = Duration::from_secs(30);
/// Between looks at the sizes of all agents: so does each of these, and the figures change with VACUUM and ANALYZE only.
const SIZES_KEPT: Duration = Duration::from_mins(10);
/// Between looks of doctor: it tries the templates, and asks more than a page may cost.
const FINDINGS_KEPT: Duration = Duration::from_mins(1);
/// Between looks at the version of the schema, while what follows them succeeds.
const KNOWN: Duration = Duration::from_secs(30);
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

/// Why something is not to be had.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    pub(super) said: String,
    /// Somebody has locked what it takes.
    pub(super) is_lock: bool,
}

impl Trouble {
    pub(super) fn of(error: &operations::Error) -> Self {
        Self { said: ErrorReport(error).to_string(), is_lock: error.is_lock() }
    }
}

/// What there is, or why it is not to be had.
pub(super) type Seen<T> = Arc<Result<T, Trouble>>;

/// The jobs that each open page shows, by a number of the page's.
type Shown = Arc<Lock<BTreeMap<u64, Vec<i64>>>>;

/// The last looks.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    shown: Shown,
    present: Kept<Snapshot>,
    agents: Kept<Vec<ListedAgent>>,
    last_jobs: Kept<BTreeMap<i64, i64>>,
    renamed: Kept<BTreeSet<i64>>,
    sizes: Kept<BTreeMap<i64, i64>>,
    rollouts: Kept<Rollouts>,
    findings: Kept<Findings>,
    /// When the version of the schema was asked for, where the look after it has succeeded.
    known: Mutex<Option<Instant>>,
}

impl Snapshots {
    /// At most a second old, and half a minute what it says of renamed tables.
    pub(super) async fn latest(&self, instance: &Instance) -> Seen<Snapshot> {
        self.present.seen(KEPT, self.look(instance)).await
    }

    async fn look(&self, instance: &Instance) -> Result<Snapshot, operations::Error> {
        let jobs: BTreeSet<i64> = {
            let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
            shown.values().flatten().copied().collect()
        };
        let jobs: Vec<i64> = jobs.into_iter().collect();
        let mut known = self.known.lock().await;
        let is_known = known.is_some_and(|at: Instant| at.elapsed() < KNOWN);
        let last = known.take();
        let (mut status, recent) = recent::present(instance, &jobs, is_known).await?;
        *known = if is_known { last } else { Some(Instant::now()) };
        if let Ok(renamed) = &*self.renamed(instance).await {
            status.queue.displaced = i64::try_from(renamed.len()).unwrap_or(i64::MAX);
        }
        Ok(Snapshot { status, recent })
    }

    async fn renamed(&self, instance: &Instance) -> Seen<BTreeSet<i64>> {
        self.renamed.seen(RENAMED_KEPT, agents::displaced(instance)).await
    }

    /// From now on the looks tell the states of these jobs, too, as long as the answer is kept.
    pub(super) fn show(&self, jobs: Vec<i64>) -> Showing {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let page = shown.last_key_value().map_or(0, |(last, _)| last + 1);
        shown.insert(page, jobs);
        Showing { shown: Arc::clone(&self.shown), page }
    }

    /// All agents, at most five seconds old.
    pub(super) async fn agents(&self, instance: &Instance) -> Seen<Vec<ListedAgent>> {
        let look = async {
            let renamed = self.renamed(instance).await;
            let none = BTreeSet::new();
            agents::overview(instance, renamed.as_ref().as_ref().unwrap_or(&none)).await
        };
        self.agents.seen(AGENTS_KEPT, look).await
    }

    /// Of each agent, at most five seconds old.
    pub(super) async fn last_jobs(&self, instance: &Instance) -> Seen<BTreeMap<i64, i64>> {
        self.last_jobs.seen(AGENTS_KEPT, agents::last_jobs(instance)).await
    }

    /// Bytes of each agent, at most ten minutes old.
    pub(super) async fn sizes(&self, instance: &Instance) -> Seen<BTreeMap<i64, i64>> {
        self.sizes.seen(SIZES_KEPT, agents::sizes(instance)).await
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
        if let Some((at, seen)) = kept.as_ref() {
            // What was not to be had may be so soon.
            let keep = if seen.is_ok() { keep } else { keep.min(KEPT) };
            if at.elapsed() < keep {
                return Arc::clone(seen);
            }
        }
        let looked = match timeout(TAKES, look).await {
            Ok(looked) => looked.map_err(|error| Trouble::of(&error)),
            Err(_) => Err(Trouble {
                said: format!("the database has not answered within {TAKES:?}"),
                is_lock: false,
            }),
        };
        let seen = Arc::new(looked);
        *kept = Some((Instant::now(), Arc::clone(&seen)));
        seen
    }
}
