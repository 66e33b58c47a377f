//! The service: its parts, and the order in which they start.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::agent::{self, Blueprint, TemplateError, Templates};
use crate::config::{self, Config};
use crate::db::{self, Db, Event, Listener, MigrateError};
use crate::jobs::{Limits, Reconcile, Wake, Worker};
use crate::shutdown::{End, Shutdown};

/// Between looks at the queue while nothing is heard.
const DEAF_POLL: Duration = Duration::from_secs(1);

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// There is no connection.
    #[error(transparent)]
    Db(#[from] db::Error),
    /// The schema is not this program's.
    #[error(transparent)]
    Schema(#[from] MigrateError),
    /// The templates cannot be used.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The server does not take the templates.
    #[error("cannot prepare the templates")]
    Blueprint(#[from] agent::Error),
    /// Signals cannot be watched.
    #[error("cannot watch for signals")]
    Signals(#[from] std::io::Error),
}

/// Runs until a signal, `end`, or the death of a part.
pub async fn run(config: &Config, end: impl Future<Output = ()>) -> Result<End, Error> {
    let shutdown = Shutdown::new()?;
    let target = config.database.target()?;
    let listener =
        Listener { target: config.database.listen_target()?, patience: config.database.patience() };
    let templates = Templates::from(config.templates.as_deref())?;
    let db = Db::new(&target, &listener.patience, config.database.pool_size)?;
    let mut client = db.get().await?;
    db::require_current(&mut client).await?;
    let blueprint = Arc::new(Blueprint::prepare(&mut client, templates, config.reference).await?);
    drop(client);

    let wake = Arc::new(Wake::new(DEAF_POLL));
    let sweep = Arc::new(Notify::new());
    let limits = Limits {
        max_attempts: config.worker.max_attempts,
        statement_timeout: config.database.statement_timeout,
        lock_timeout: config.database.lock_timeout,
    };
    shutdown.vital("timer", {
        let (wake, stop) = (Arc::clone(&wake), shutdown.stop.clone());
        async move { wake.run(stop).await }
    });
    for _ in 0..config.worker.concurrency {
        let worker =
            Worker::new(db.clone(), Arc::clone(&blueprint), Arc::clone(&wake), limits.clone());
        shutdown.vital("worker", worker.run(shutdown.stop.clone(), shutdown.abort.clone()));
    }
    let reconcile = Reconcile {
        db,
        wake: Arc::clone(&wake),
        asked: Arc::clone(&sweep),
        interval: config.worker.reconcile_interval,
    };
    shutdown.vital("reconcile", reconcile.run(shutdown.stop.clone()));
    let poll = config.worker.poll_interval;
    let heard = move |event| match event {
        Event::Notified => wake.now(),
        Event::Listening => {
            wake.poll_every(poll);
            wake.now();
            sweep.notify_one();
        }
        Event::Deaf => wake.poll_every(DEAF_POLL.min(poll)),
    };
    shutdown.vital("listener", listener.run(heard, shutdown.stop.clone()));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "running");
    Ok(shutdown.wait(end, config.worker.grace).await)
}
