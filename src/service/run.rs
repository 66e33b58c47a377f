//! The service: its parts, and the order in which they start.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_postgres::Client;

use super::database_stats::DatabaseStats;
use super::http::{self, Http};
use super::instance::{Error as InstanceError, Instance};
use super::parts::Parts;
use super::served::Served;
use super::shutdown::{End, Shutdown};
use super::{peers, systemd};
use crate::config::{Config, DatabaseName};
use crate::postgres::{self, DedicatedConnector, Event, Listener, Presence, Source, backoff};
use crate::provisioning::BuildSpec;
use crate::queue::{RetryPolicy, retry_policy};
use crate::telemetry::{ErrorReport, Metrics, Unready, Wakeup, is_disk_full};
use crate::templates::{self, Templates};
use crate::worker::{
    Budget, Dispatcher, Limits, Reconcile, RolloutLoop, RolloutSignal, UpgradeRunner, VerifyLoop,
    WakeupSignal, Worker,
};

/// From here on the foreign key to `agents` makes itself felt; beyond 2,000 agents it fails for good.
pub const MANY_AGENTS: i64 = 500;

/// Between looks at the queue while nothing is heard.
const FALLBACK_POLL: Duration = Duration::from_secs(1);

/// A statement that the server has ended by now, but whose answer has not come, is lost.
const SILENCE: Duration = Duration::from_secs(10);

/// A start takes less, unless the server or the way to it is slow.
const SLOW: Duration = Duration::from_secs(5);

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database cannot be worked on.
    #[error(transparent)]
    Instance(#[from] InstanceError),
    /// One of many cannot be worked on.
    #[error("database {name}")]
    OfDatabase {
        /// Its name in the settings.
        name: DatabaseName,
        /// Why.
        #[source]
        source: Box<InstanceError>,
    },
    /// The connection was there, and then nothing came over it any more.
    #[error("the database was reached and then fell silent")]
    Silent(#[source] postgres::Error),
    /// Nothing can be built here.
    #[error(transparent)]
    ReadOnly(#[from] postgres::ReadOnly),
    /// The address for probes and metrics cannot be had.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// Signals cannot be watched.
    #[error("cannot watch for signals")]
    Signals(#[from] std::io::Error),
}

impl Error {
    /// Whether it may end without anybody's changing this program or its settings.
    fn may_pass(&self) -> bool {
        match self {
            Self::Instance(InstanceError::Db(_)) | Self::Silent(_) | Self::ReadOnly(_) => true,
            Self::Instance(error) => is_retried(error),
            Self::OfDatabase { source, .. } => is_retried(&**source),
            Self::Http(_) | Self::Signals(_) => false,
        }
    }

    /// Whether settings or template files have to change, and the database is not to blame.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Instance(error) => error.is_configuration(),
            Self::OfDatabase { source, .. } => source.is_configuration(),
            Self::Silent(_) | Self::ReadOnly(_) | Self::Http(_) | Self::Signals(_) => false,
        }
    }
}

/// Whether the server refused what it will take later, or the connection ended in the middle of it: by the rule for jobs.
fn is_retried(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<tokio_postgres::Error>() {
            let fails = |code| matches!(retry_policy(Some(code)), RetryPolicy::Fail);
            return error.is_closed() || error.code().is_some_and(|code| !fails(code));
        }
        next = error.source();
    }
    false
}

/// What is checked of the settings before anything is begun.
#[derive(Debug)]
pub(super) struct Checked {
    source: Source,
    listen: Source,
    templates: Templates,
}

impl Checked {
    /// Fails where settings or template files have to change.
    pub(super) fn new(instance: &Instance) -> Result<Self, InstanceError> {
        let database = &instance.config.database;
        let source = database.source()?;
        let listen = database.listen_source(&source)?;
        Ok(Self { source, listen, templates: instance.templates()? })
    }
}

/// Runs until a signal, `end`, or the death of a part. `beside` adds parts of another layer.
pub async fn run(
    instance: &Instance,
    beside: impl FnOnce(&Parts),
    end: impl Future<Output = ()>,
) -> Result<End, Error> {
    let mut shutdown = Shutdown::new()?;
    let Instance { config, db } = instance;
    let checked = Checked::new(instance)?;
    let http = match config.http.listen {
        Some(address) => Some(Http::bind(address).await?),
        None => None,
    };
    let metrics = Arc::new(Metrics::default());
    let database_stats = DatabaseStats::new(db.clone(), None);
    let served = Served::one(Arc::clone(&metrics), database_stats);
    serve_probes(http, served, &shutdown.parts);
    beside(&shutdown.parts);
    let budget = Budget::shares(config.worker.total_concurrency, 1).next().flatten();
    let begun = tokio::select! {
        begun = begin(instance, &checked, &metrics, budget, &shutdown.parts) => Some(begun),
        () = shutdown.signals.next() => None,
    };
    if let Some(Ok(())) = begun {
        return Ok(shutdown.wait(end, config.worker.shutdown_timeout).await);
    }
    shutdown.parts.stop.cancel();
    begun.map_or(Ok(End::Drained), |failed| failed.map(|()| End::Drained))
}

/// Starts what works on one database, once everything is right for the first job.
pub(super) async fn begin(
    instance: &Instance,
    checked: &Checked,
    metrics: &Arc<Metrics>,
    budget: Option<Arc<Budget>>,
    parts: &Parts,
) -> Result<(), Error> {
    let Instance { config, db } = instance;
    let Checked { source, listen, templates } = checked;
    let build_spec = Arc::new(prepare_in_time(instance, templates, metrics).await?);
    let this = peers::this(config, templates, Arc::clone(metrics));
    let timeouts = config.database.timeouts();
    let dedicated = DedicatedConnector { source: listen.clone(), timeouts: timeouts.clone() };
    let upgrade_runner = Arc::new(UpgradeRunner::new(dedicated, config.worker.concurrency));
    let watch = peers::Watch::new(&this, Arc::clone(metrics));
    let presence = Presence::new(db.clone(), Some(this));
    let listener = Listener { source: listen.clone(), timeouts, presence };
    let wake = Arc::new(WakeupSignal::new(FALLBACK_POLL, Arc::clone(metrics)));
    let sweep = Arc::new(Notify::new());
    let limits = limits(config, source.clone());
    parts.vital("timer", {
        let (wake, stop) = (Arc::clone(&wake), parts.stop.clone());
        async move { wake.run(stop).await }
    });
    let verify_loop = verify_loop(instance, Arc::clone(&build_spec), Arc::clone(metrics));
    parts.vital("verify", verify_loop.run(parts.stop.clone()));
    let dispatcher = Dispatcher { build_spec, limits: limits.clone(), upgrade_runner };
    for _ in 0..config.worker.concurrency {
        let worker = Worker {
            db: db.clone(),
            dispatcher: dispatcher.clone(),
            wake: Arc::clone(&wake),
            budget: budget.clone(),
            metrics: Arc::clone(metrics),
        };
        parts.vital("worker", worker.run(parts.stop.clone(), parts.abort.clone()));
    }
    let reconcile =
        reconcile(instance, limits, Arc::clone(metrics), Arc::clone(&wake), Arc::clone(&sweep));
    parts.vital("reconcile", reconcile.run(parts.stop.clone()));
    let rollouts = rollouts(instance, parts);
    let metrics = Arc::clone(metrics);
    let heard = heard(config.worker.poll_interval, wake, sweep, rollouts, metrics, watch);
    parts.vital("listener", listener.run(heard, parts.stop.clone()));
    tell_of_start(instance, templates.version());
    Ok(())
}

fn tell_of_start(instance: &Instance, templates: i32) {
    let (config, place) = (&instance.config, instance.db.place());
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        database = place.database,
        role = place.user,
        hosts = place.hosts.join(","),
        templates,
        reference = config.reference.as_str(),
        retention = %humantime::format_duration(config.deprovision.retention),
        max_per_hour = config.deprovision.max_per_hour,
        concurrency = config.worker.concurrency,
        max_attempts = config.worker.max_attempts,
        "running"
    );
}

/// What has to be there before a database is reached.
pub(super) fn serve_probes(http: Option<Http>, served: Served, parts: &Parts) {
    let served = Arc::new(served);
    if let Some(http) = http {
        parts.vital("http", http.serve(Arc::clone(&served), parts.stop.clone()));
    }
    parts.vital("systemd", systemd::run(served, parts.stop.clone()));
}

fn verify_loop(
    instance: &Instance,
    build_spec: Arc<BuildSpec>,
    metrics: Arc<Metrics>,
) -> VerifyLoop {
    let Instance { config, db } = instance;
    let patience = longest_answer(config);
    let interval = config.verify.interval;
    VerifyLoop { db: db.clone(), build_spec, metrics, interval, patience }
}

fn reconcile(
    instance: &Instance,
    limits: Limits,
    metrics: Arc<Metrics>,
    wake: Arc<WakeupSignal>,
    asked: Arc<Notify>,
) -> Reconcile {
    let Instance { config, db } = instance;
    let interval = config.worker.reconcile_interval;
    let patience = longest_answer(config);
    let keep = config.jobs.keep;
    Reconcile { db: db.clone(), metrics, wake, asked, interval, limits, patience, keep }
}

/// What goes on with rollouts; and how it is told to look.
fn rollouts(instance: &Instance, parts: &Parts) -> Arc<RolloutSignal> {
    let signal = Arc::<RolloutSignal>::default();
    let patience = longest_answer(&instance.config);
    let rollouts = RolloutLoop { db: instance.db.clone(), signal: Arc::clone(&signal), patience };
    parts.vital("rollouts", rollouts.run(parts.stop.clone()));
    signal
}

fn limits(config: &Config, source: Source) -> Limits {
    Limits {
        max_attempts: config.worker.max_attempts,
        statement_timeout: config.database.statement_timeout,
        lock_timeout: config.database.lock_timeout,
        max_per_hour: config.deprovision.max_per_hour,
        max_unreported: config.deprovision.max_unreported,
        source,
    }
}

/// Everything that must be right before the first job. While the database is away, refuses the login or takes no writes,
/// the service is not ready, and tries again.
async fn prepare_in_time(
    instance: &Instance,
    templates: &Templates,
    metrics: &Metrics,
) -> Result<BuildSpec, Error> {
    let mut failures = 0;
    loop {
        let prepared = Box::pin(prepare(instance, templates.clone()));
        let error = match metrics.liveness.while_waiting(prepared).await {
            Ok(build_spec) => return Ok(build_spec),
            Err(error) if error.may_pass() => error,
            Err(error) => return Err(error),
        };
        let reason = ErrorReport(&error).to_string();
        let wait = backoff::refused(failures, fastrand::f64());
        if backoff::worth_a_line(failures) {
            tracing::warn!(error = reason, retry_in = ?wait, "cannot begin yet");
        }
        failures = failures.saturating_add(1);
        let is_read_only = matches!(error, Error::ReadOnly(_));
        metrics.liveness.failed(if is_read_only {
            Unready { code: "server_read_only", reason }
        } else if is_disk_full(&error) {
            Unready::disk_full(reason)
        } else {
            Unready::unreachable(reason)
        });
        metrics.liveness.while_waiting(tokio::time::sleep(wait)).await;
    }
}

async fn prepare(instance: &Instance, templates: Templates) -> Result<BuildSpec, Error> {
    let started = Instant::now();
    let mut client = instance.connect().await?;
    let limit = longest_answer(&instance.config);
    let learnt = learn(&mut client, templates, &instance.config);
    let learnt = instance.db.while_heard(limit, learnt).await.map_err(Error::Silent)?;
    if started.elapsed() > SLOW {
        let seconds = started.elapsed().as_secs();
        tracing::warn!(seconds, "it took long to try the templates on the server");
    }
    learnt
}

async fn learn(
    client: &mut Client,
    templates: Templates,
    config: &Config,
) -> Result<BuildSpec, Error> {
    postgres::require_writable(client).await?;
    postgres::require_current(client).await.map_err(InstanceError::from)?;
    warn_of_many(client).await.map_err(InstanceError::from)?;
    Ok(learn_templates(client, templates, config).await.map_err(InstanceError::from)?)
}

async fn learn_templates(
    client: &mut Client,
    templates: Templates,
    config: &Config,
) -> Result<BuildSpec, templates::Error> {
    let (reference, retention) = (config.reference, config.deprovision.retention);
    let build_spec = BuildSpec::prepare(client, templates, reference, retention).await?;
    templates::record(client, build_spec.templates()).await?;
    for file in build_spec.templates().passed_over() {
        tracing::info!(
            file,
            "in the directory of templates, and none: its name does not end in .sql"
        );
    }
    for changed in templates::changed(client, build_spec.templates()).await? {
        let (file, gone) = (&changed.file, changed.gone);
        tracing::warn!(file, gone, "agents were built from another text of this template");
    }
    Ok(build_spec)
}

/// A server that lives has said something by then.
fn longest_answer(config: &Config) -> Duration {
    config.database.statement_timeout + SILENCE
}

/// With the foreign key, every agent makes the deletion of every other one dearer.
async fn warn_of_many(client: &Client) -> Result<(), postgres::Error> {
    let sql = "select count(*) from provisioning.agents where reference = 'foreign_key'";
    let rows = client.query_typed(sql, &[]).await?;
    let agents: i64 = rows.first().map_or(0, |row| row.get(0));
    if agents >= MANY_AGENTS {
        tracing::warn!(agents, "many agents with a foreign key; see `agent-provisioner doctor`");
    }
    Ok(())
}

/// What follows from what the listener says.
fn heard(
    poll: Duration,
    wake: Arc<WakeupSignal>,
    sweep: Arc<Notify>,
    rollouts: Arc<RolloutSignal>,
    metrics: Arc<Metrics>,
    watch: peers::Watch,
) -> impl Fn(Event) {
    move |event| match event {
        Event::Notified => {
            wake.now(Wakeup::Notified);
            rollouts.now();
        }
        Event::Listening => {
            metrics.listening(true);
            rollouts.hears(true);
            wake.poll_every(poll);
            wake.now(Wakeup::Listening);
            sweep.notify_one();
        }
        Event::NotListening | Event::Full => {
            metrics.listening(false);
            rollouts.hears(false);
            wake.poll_every(FALLBACK_POLL.min(poll));
        }
        Event::Compared(found) => watch.note(found),
    }
}
