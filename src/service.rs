//! The service: its parts, and the order in which they start.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_postgres::Client;

use crate::agent::{self, Blueprint, TemplateError, Templates};
use crate::config::{self, Config};
use crate::db::{self, Db, Event, Listener, MigrateError, Presence, Solo, Source};
use crate::http::{self, Http};
use crate::instances;
use crate::jobs::{Aside, Limits, MANY_AGENTS, Reconcile, Wake, Worker};
use crate::metrics::{Metrics, Wakeup};
use crate::shutdown::{End, Shutdown};
use crate::survey::Survey;
use crate::systemd;

/// Between looks at the queue while nothing is heard.
const DEAF_POLL: Duration = Duration::from_secs(1);

/// A statement that the server has ended by now, but whose answer has not come, is lost.
const SILENCE: Duration = Duration::from_secs(10);

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// There is no connection.
    #[error(transparent)]
    Db(#[from] db::Error),
    /// The connection was there, and then nothing came over it any more.
    #[error("the database was reached and then fell silent")]
    Silent(#[source] db::Error),
    /// Nothing can be built here.
    #[error(transparent)]
    ReadOnly(#[from] db::ReadOnly),
    /// The schema is not this program's.
    #[error(transparent)]
    Schema(#[from] MigrateError),
    /// The templates cannot be used.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The server does not take the templates.
    #[error("cannot prepare the templates")]
    Blueprint(#[from] agent::Error),
    /// The address for probes and metrics cannot be had.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// Signals cannot be watched.
    #[error("cannot watch for signals")]
    Signals(#[from] std::io::Error),
}

/// Runs until a signal, `end`, or the death of a part.
pub async fn run(config: &Config, end: impl Future<Output = ()>) -> Result<End, Error> {
    let mut shutdown = Shutdown::new()?;
    let (source, patience) = (config.database.source()?, config.database.patience());
    let listen = config.database.listen_source(&source)?;
    let templates = Templates::from(config.templates.as_deref(), &config.realtime)?;
    let http = match config.http.listen {
        Some(address) => Some(Http::bind(address).await?),
        None => None,
    };
    let db = Db::new(&source, &patience, config.database.pool_size)?;
    let solo = Solo { source: listen.clone(), patience: patience.clone() };
    let aside = Arc::new(Aside::new(solo, config.worker.concurrency));
    let this = instances::this(config, &templates);
    let blueprint = tokio::select! {
        // Boxed: large, and needed no more while the service runs.
        prepared = Box::pin(prepare(&db, templates, config)) => Arc::new(prepared?),
        () = shutdown.asked() => return Ok(End::Drained),
    };

    let metrics = Arc::new(Metrics::default());
    let watch = instances::Watch::new(&this, Arc::clone(&metrics));
    let presence = Presence::new(db.clone(), Some(this));
    let listener = Listener { source: listen, patience, presence };
    let wake = Arc::new(Wake::new(DEAF_POLL, Arc::clone(&metrics)));
    let sweep = Arc::new(Notify::new());
    let limits = limits(config, source);
    shutdown.vital("timer", {
        let (wake, stop) = (Arc::clone(&wake), shutdown.stop.clone());
        async move { wake.run(stop).await }
    });
    for _ in 0..config.worker.concurrency {
        let worker = Worker {
            db: db.clone(),
            blueprint: Arc::clone(&blueprint),
            wake: Arc::clone(&wake),
            limits: limits.clone(),
            aside: Arc::clone(&aside),
            metrics: Arc::clone(&metrics),
        };
        shutdown.vital("worker", worker.run(shutdown.stop.clone(), shutdown.abort.clone()));
    }
    if let Some(http) = http {
        let survey = Survey::new(db.clone());
        let served = http.serve(Arc::clone(&metrics), survey, shutdown.stop.clone());
        shutdown.vital("http", served);
    }
    shutdown.vital("systemd", systemd::run(Arc::clone(&metrics), shutdown.stop.clone()));
    let reconcile = Reconcile {
        db,
        metrics: Arc::clone(&metrics),
        wake: Arc::clone(&wake),
        asked: Arc::clone(&sweep),
        interval: config.worker.reconcile_interval,
        limits,
        patience: longest_answer(config),
    };
    shutdown.vital("reconcile", reconcile.run(shutdown.stop.clone()));
    let heard = heard(config.worker.poll_interval, wake, sweep, metrics, watch);
    shutdown.vital("listener", listener.run(heard, shutdown.stop.clone()));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "running");
    Ok(shutdown.wait(end, config.worker.shutdown_timeout).await)
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

/// Everything that must be right before the first job. Whoever supervises the program has it try
/// again, on another connection.
async fn prepare(db: &Db, templates: Templates, config: &Config) -> Result<Blueprint, Error> {
    let mut client = db.get().await?;
    let prepared = db.while_heard(longest_answer(config), learn(&mut client, templates, config));
    prepared.await.map_err(Error::Silent)?
}

async fn learn(
    client: &mut Client,
    templates: Templates,
    config: &Config,
) -> Result<Blueprint, Error> {
    db::require_writable(client).await?;
    db::require_current(client).await?;
    warn_of_many(client).await?;
    let (reference, retention) = (config.reference, config.deprovision.retention);
    let blueprint = Blueprint::prepare(client, templates, reference, retention).await?;
    agent::record(client, blueprint.templates()).await?;
    for changed in agent::changed(client, blueprint.templates()).await? {
        let (file, gone) = (&changed.file, changed.gone);
        tracing::warn!(file, gone, "agents were built from another text of this template");
    }
    Ok(blueprint)
}

/// A server that lives has said something by then.
fn longest_answer(config: &Config) -> Duration {
    config.database.statement_timeout + SILENCE
}

/// With the foreign key, every agent makes the deletion of every other one dearer.
async fn warn_of_many(client: &Client) -> Result<(), db::Error> {
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
    wake: Arc<Wake>,
    sweep: Arc<Notify>,
    metrics: Arc<Metrics>,
    watch: instances::Watch,
) -> impl Fn(Event) {
    move |event| match event {
        Event::Notified => wake.now(Wakeup::Notified),
        Event::Listening => {
            metrics.listening(true);
            wake.poll_every(poll);
            wake.now(Wakeup::Listening);
            sweep.notify_one();
        }
        Event::Deaf | Event::Full => {
            metrics.listening(false);
            wake.poll_every(DEAF_POLL.min(poll));
        }
        Event::Compared(found) => watch.note(found),
    }
}
