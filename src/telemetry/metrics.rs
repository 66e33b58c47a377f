//! What the service counts: names, help texts and labels, each in one place.
//!
//! Labels come from short fixed sets, never from an agent, a row or an error's text.

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use serde::Serialize;

use super::liveness::Liveness;

/// Before every name.
pub(super) const PREFIX: &str = "agent_provisioner";

/// Seconds. A build takes tens of milliseconds; what waits for locks takes longer.
const DURATIONS: [f64; 12] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];

/// Seconds. From the INSERT of an agent to its tables: a second, or as long as nobody builds.
const READY: [f64; 12] = [0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];

type Labels<const N: usize> = [(&'static str, Cow<'static, str>); N];
type Histograms = Family<Labels<1>, Histogram, fn() -> Histogram>;

/// Why a worker is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wakeup {
    /// A notification came.
    Notified,
    /// The time for a look has come.
    Timer,
    /// The listener is connected: what came before may have been missed.
    Listening,
    /// A worker found a job; there may be more.
    More,
    /// Reconcile added jobs.
    Reconcile,
}

impl Wakeup {
    const ALL: [Self; 5] =
        [Self::Notified, Self::Timer, Self::Listening, Self::More, Self::Reconcile];

    fn as_str(self) -> &'static str {
        match self {
            Self::Notified => "notified",
            Self::Timer => "timer",
            Self::Listening => "listening",
            Self::More => "more",
            Self::Reconcile => "reconcile",
        }
    }
}

/// Everything this process tells of itself; what the database knows is added by
/// [`crate::service::DatabaseStats`].
#[derive(Debug)]
pub struct Metrics {
    /// Whether the workers move.
    pub liveness: Liveness,
    registry: Registry,
    wakeups: Family<Labels<1>, Counter>,
    listening: Gauge,
    durations: Histograms,
    ready: Histogram,
    attempts: Family<Labels<3>, Counter>,
    lock_timeouts: Counter,
    findings: Family<Labels<1>, Counter>,
    sweeps: Family<Labels<1>, Counter>,
    last_sweep: Gauge,
    agents_hidden: Gauge,
    agents_unproven: Gauge,
    purged: Counter,
    verify_failures: Counter,
    differing: Family<Labels<1>, Gauge>,
    scrape_errors: Counter,
    restarts: Counter,
    database_ready: Gauge,
    is_one_of_many: bool,
}

/// How a process fares, as the others see it. Counts begin with the process.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct State {
    /// Whether notifications arrive.
    pub listening: bool,
    /// When its last sweep succeeded, as Unix time; 0 for never.
    pub last_sweep: i64,
    /// Sweeps that failed.
    pub sweeps_failed: u64,
    /// Agents without tables that no trigger had reported.
    pub found_missing: u64,
    /// Tables without an agent that no trigger had reported.
    pub found_orphaned: u64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::of(None)
    }
}

impl Metrics {
    /// Where the process has many databases, those of the one with this name.
    pub fn of(database: Option<&str>) -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(DURATIONS);
        let mut metrics = Self {
            liveness: Liveness::default(),
            registry: registry(database),
            restarts: Counter::default(),
            database_ready: Gauge::default(),
            is_one_of_many: database.is_some(),
            wakeups: Family::default(),
            listening: Gauge::default(),
            durations: Family::new_with_constructor(histogram),
            ready: Histogram::new(READY),
            attempts: Family::default(),
            lock_timeouts: Counter::default(),
            findings: Family::default(),
            sweeps: Family::default(),
            last_sweep: Gauge::default(),
            agents_hidden: Gauge::default(),
            agents_unproven: Gauge::default(),
            purged: Counter::default(),
            verify_failures: Counter::default(),
            differing: Family::default(),
            scrape_errors: Counter::default(),
        };
        metrics.register();
        // Known series start at zero, so that the first event is an increase.
        for reason in Wakeup::ALL {
            drop(metrics.wakeups.get_or_create(&label("reason", reason.as_str())));
        }
        metrics.reconciled(0, 0);
        for outcome in ["done", "failed"] {
            drop(metrics.sweeps.get_or_create(&label("outcome", outcome)));
        }
        metrics
    }

    fn register(&mut self) {
        let Self { registry, .. } = self;
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program's version", version);
        let help = "Wake-ups of workers, by reason";
        registry.register("wakeups", help, self.wakeups.clone());
        let help = "1 while notifications arrive, 0 while workers only poll";
        registry.register("listener_connected", help, self.listening.clone());
        let help = "From a job's claim to its commit, of jobs that succeeded";
        registry.register("job_duration_seconds", help, self.durations.clone());
        let help = "From an agent's INSERT, or the replay of its job, to the commit of its tables";
        registry.register("ready_seconds", help, self.ready.clone());
        let help = "Attempts at jobs that ended, by what they came to";
        registry.register("attempts", help, self.attempts.clone());
        let help = "Attempts that gave way to somebody's lock";
        registry.register("lock_timeouts", help, self.lock_timeouts.clone());
        let help = "Jobs that reconcile added; more than none means a trigger that did not report";
        registry.register("reconcile_findings", help, self.findings.clone());
        let help = "Comparisons of agents with what is built, by whether they succeeded";
        registry.register("sweeps", help, self.sweeps.clone());
        let help = "When the last such comparison succeeded, as Unix time; 0 for never";
        registry.register("last_sweep_timestamp_seconds", help, self.last_sweep.clone());
        let help = "Agents that row security hides from the service's role";
        registry.register("agents_hidden", help, self.agents_hidden.clone());
        let help = "1 while row security keeps the service from telling which agents are gone";
        registry.register("agents_unproven", help, self.agents_unproven.clone());
        let help = "Deleted agents whose tables were dropped after the retention";
        registry.register("purged", help, self.purged.clone());
        let help = "Comparisons of all agents in the background that failed";
        registry.register("verify_failures", help, self.verify_failures.clone());
        let help = "Other instances on this database that are configured differently, by setting";
        registry.register("differing_instances", help, self.differing.clone());
        let help =
            "Scrapes that found the database not answering: what comes from it is old or missing";
        registry.register("scrape_errors", help, self.scrape_errors.clone());
        if self.is_one_of_many {
            let help = "Starts of the work on this database after the first: it failed, or a part of it had ended";
            registry.register("database_restarts", help, self.restarts.clone());
            let help = "1 while the work on this database is ready, as /readyz says";
            registry.register("database_ready", help, self.database_ready.clone());
        }
    }

    /// How this process fares, for the others on its database.
    pub fn state(&self) -> State {
        let found = |finding| self.findings.get_or_create(&label("finding", finding)).get();
        let failed = self.sweeps.get_or_create(&label("outcome", "failed")).get();
        State {
            listening: self.is_listening(),
            last_sweep: self.last_sweep.get(),
            sweeps_failed: failed,
            found_missing: found("missing"),
            found_orphaned: found("orphaned"),
        }
    }

    /// A worker was woken.
    pub fn woken(&self, reason: Wakeup) {
        self.wakeups.get_or_create(&label("reason", reason.as_str())).inc();
    }

    /// Notifications arrive from now on, or no longer do.
    pub fn listening(&self, is: bool) {
        self.listening.set(is.into());
    }

    /// Whether notifications arrive.
    pub fn is_listening(&self) -> bool {
        self.listening.get() == 1
    }

    /// A job is done and committed.
    pub fn succeeded(&self, kind: &'static str, outcome: &'static str, took: Duration) {
        self.durations.get_or_create(&label("kind", kind)).observe(took.as_secs_f64());
        self.attempt(kind, outcome, None);
    }

    /// The first part of a job is done and committed.
    pub fn goes_on(&self, kind: &'static str, outcome: &'static str) {
        self.attempt(kind, outcome, None);
    }

    /// A new agent has its tables, so many seconds after they were asked for.
    pub fn ready(&self, seconds: f64) {
        self.ready.observe(seconds);
    }

    /// An attempt failed: `retry`, `gave_way` or `dead`.
    pub fn failed(&self, kind: &'static str, outcome: &'static str, sqlstate: Option<&str>) {
        if sqlstate == Some("55P03") {
            self.lock_timeouts.inc();
        }
        self.attempt(kind, outcome, sqlstate.and_then(|code| code.get(..2)));
    }

    fn attempt(&self, kind: &'static str, outcome: &'static str, class: Option<&str>) {
        let class = class.map_or(Cow::Borrowed("none"), |class| class.to_owned().into());
        let labels =
            [("kind", kind.into()), ("outcome", outcome.into()), ("sqlstate_class", class)];
        self.attempts.get_or_create(&labels).inc();
    }

    /// Reconcile added jobs for agents without tables, and for tables without an agent.
    pub fn reconciled(&self, missing: u64, orphaned: u64) {
        self.findings.get_or_create(&label("finding", "missing")).inc_by(missing);
        self.findings.get_or_create(&label("finding", "orphaned")).inc_by(orphaned);
    }

    /// A sweep succeeded, or failed.
    pub fn swept(&self, succeeded: bool) {
        let outcome = if succeeded { "done" } else { "failed" };
        self.sweeps.get_or_create(&label("outcome", outcome)).inc();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if succeeded {
            self.last_sweep.set(now.as_secs().try_into().unwrap_or(i64::MAX));
        }
    }

    /// So many agents exist that the service's role does not see.
    pub fn agents_hidden(&self, agents: i64) {
        self.agents_hidden.set(agents);
    }

    /// Whether the last sweep could not tell which agents are gone.
    pub fn agents_unproven(&self, is: bool) {
        self.agents_unproven.set(is.into());
    }

    /// Deleted agents left the trash for good.
    pub fn purged(&self, agents: u64) {
        self.purged.inc_by(agents);
    }

    /// All agents were to be compared, and were not.
    pub fn verify_failed(&self) {
        self.verify_failures.inc();
    }

    /// The work on this one of many databases begins anew.
    pub fn restarted(&self) {
        self.restarts.inc();
    }

    /// Whether the work on this one of many databases is ready.
    pub fn database_ready(&self, is: bool) {
        self.database_ready.set(is.into());
    }

    /// So many other instances differ from this one in a setting.
    pub fn differing(&self, setting: &'static str, instances: usize) {
        let instances = instances.try_into().unwrap_or(i64::MAX);
        self.differing.get_or_create(&label("setting", setting)).set(instances);
    }

    /// The exposition, as `OpenMetrics` text, with what the database gave. `answers`: whether it gave that just now.
    pub fn expose(&self, database: Option<&Registry>, answers: bool) -> Result<String, fmt::Error> {
        if !answers {
            self.scrape_errors.inc();
        }
        let mut text = String::new();
        encode_registry(&mut text, &self.registry)?;
        if let Some(database) = database {
            encode_registry(&mut text, database)?;
        }
        encode_eof(&mut text)?;
        Ok(text)
    }
}

/// The gauges that are read from the database, of which this takes one row each.
#[derive(Debug, Default)]
pub struct DatabaseGauges {
    jobs: Family<Labels<2>, Gauge>,
    oldest: Gauge<f64, AtomicU64>,
    blocked: Gauge,
    lock_waiters: Gauge,
    lock_holder: Gauge<f64, AtomicU64>,
    agents: Family<Labels<1>, Gauge>,
    purge_held: Gauge,
    drifted: Gauge,
    instances: Gauge,
    held_up: Gauge,
}

impl DatabaseGauges {
    /// Jobs of a kind and state.
    pub fn jobs(&self, kind: String, state: String, count: i64) {
        self.jobs.get_or_create(&[("kind", kind.into()), ("state", state.into())]).set(count);
    }

    /// Agents whose tables are at a version of the templates.
    pub fn agents(&self, version: String, count: i64) {
        self.agents.get_or_create(&[("template_version", version.into())]).set(count);
    }

    /// The age of the oldest due job in seconds, and the number of prefixes behind a dead one.
    pub fn queue(&self, oldest: f64, blocked: i64) {
        self.oldest.set(oldest);
        self.blocked.set(blocked);
    }

    /// Jobs that gave way to somebody's lock and are still to be done.
    pub fn lock_waiters(&self, jobs: i64) {
        self.lock_waiters.set(jobs);
    }

    /// The age in seconds of the oldest transaction that holds them up.
    pub fn lock_holder(&self, age: f64) {
        self.lock_holder.set(age);
    }

    /// Whether the trash is not emptied until an operator approves, as 0 or 1.
    pub fn purge_held(&self, held: i64) {
        self.purge_held.set(held);
    }

    /// Agents that differed from the templates when they were last compared.
    pub fn drifted(&self, agents: i64) {
        self.drifted.set(agents);
    }

    /// Services that run on this database.
    pub fn instances(&self, instances: i64) {
        self.instances.set(instances);
    }

    /// Others' sessions that wait for a lock of ours.
    pub fn held_up(&self, sessions: i64) {
        self.held_up.set(sessions);
    }

    /// For [`Metrics::expose`], with the name of the database where each has one.
    pub fn registry(self, database: Option<&str>) -> Registry {
        let mut registry = registry(database);
        registry.register("jobs", "Jobs that are pending or dead, by kind and state", self.jobs);
        let help = "How long the oldest job that nothing holds up has been waiting, retries or not; 0 for none";
        registry.register("oldest_due_age_seconds", help, self.oldest);
        let help = "Prefixes with a job that waits behind a dead one";
        registry.register("blocked_prefixes", help, self.blocked);
        let help = "Jobs that gave way to somebody's lock and are still to be done";
        registry.register("jobs_waiting_for_lock", help, self.lock_waiters);
        let help = "Age of the oldest transaction whose locks hold jobs up; 0 for none";
        registry.register("lock_blocker_age_seconds", help, self.lock_holder);
        let help = "Agents with tables, by the version of their templates";
        registry.register("agents", help, self.agents);
        let help = "1 while the database's clock has moved and the trash waits for an operator";
        registry.register("purge_held", help, self.purge_held);
        let help = "Agents that differed from the templates when they were last compared";
        registry.register("drifted_agents", help, self.drifted);
        registry.register("instances", "Services that run on this database", self.instances);
        let help = "Sessions of others that wait for a lock of this service's";
        registry.register("sessions_held_up", help, self.held_up);
        registry
    }
}

fn registry(database: Option<&str>) -> Registry {
    let label = database.map(|name| (Cow::Borrowed("database"), Cow::Owned(name.to_owned())));
    Registry::with_prefix_and_labels(PREFIX, label.into_iter())
}

fn label(name: &'static str, value: &'static str) -> Labels<1> {
    [(name, value.into())]
}
