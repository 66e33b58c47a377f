//! The database, by way of a pool.

use std::time::Duration;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, QueueMode, RecyclingMethod,
    Runtime, Timeouts as PoolTimeouts,
};
use tokio_postgres::Client;

use super::activity::ActivityMonitor;
use super::error::Error;
use super::failover::Hosts;
use super::session_settings;
use super::source::{Place, Source};
use super::timeouts::Timeouts;
use crate::telemetry::ErrorReport;

/// The database, by way of a pool.
#[derive(Clone)]
pub struct Db {
    pool: Pool,
    source: Source,
    heard: ActivityMonitor,
    /// Longest wait for a connection.
    limit: Duration,
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Db").field("pool", &self.pool.status()).finish_non_exhaustive()
    }
}

impl Db {
    /// A pool that connects when first asked.
    pub fn new(source: &Source, timeouts: &Timeouts, size: usize) -> Result<Self, Error> {
        let hosts = Hosts::new(source, timeouts.connect);
        let (heard, create) = (hosts.heard(), hosts.limit());
        // Transactions end when they are dropped, and a worker closes what it used (`close`): all
        // that is left to look at is whether the connection lives.
        let recycle = ManagerConfig { recycling_method: RecyclingMethod::Verified };
        let manager = Manager::from_connect(tokio_postgres::Config::new(), hosts, recycle);
        // Behind a transaction-mode pooler they would become other clients' settings; a job's own
        // transaction sets what it needs in any case.
        let (settings, shared) = (session_settings::of_session(timeouts), source.clone());
        let pool = Pool::builder(manager)
            .max_size(size)
            .queue_mode(QueueMode::Lifo) // so that what is not needed stays idle, and can be closed
            .runtime(Runtime::Tokio1)
            .timeouts(PoolTimeouts {
                wait: Some(timeouts.connect),
                create: Some(create),
                recycle: Some(timeouts.connect),
            })
            .post_create(Hook::async_fn(move |client, _| {
                let settings = if shared.is_pooled() { Vec::new() } else { settings.clone() };
                Box::pin(async move {
                    session_settings::set(client, &settings).await.map_err(HookError::Backend)
                })
            }))
            .build()?;
        // The pool's own limits leave out the settings made after the connection.
        let source = source.clone();
        Ok(Self { pool, source, heard, limit: create + timeouts.connect })
    }

    /// A connection, which goes back to the pool when dropped.
    pub async fn get(&self) -> Result<Object, Error> {
        match tokio::time::timeout(self.limit, self.pool.get()).await {
            // The pool's own error would say the same twice.
            Ok(Err(PoolError::Backend(source))) => {
                Err(Error::Connect { place: self.place().to_string(), source })
            }
            Ok(taken) => taken.map_err(|error| Error::Pool(Box::new(error))),
            Err(_) => Err(Error::Timeout { place: self.place().to_string(), limit: self.limit }),
        }
    }

    /// Works, unless all connections of this pool are silent for `limit` on end.
    ///
    /// What takes many statements has no other limit: how long it takes is the templates' and the
    /// network's affair. The server may say nothing while it runs one, so `limit` is longer than that.
    pub async fn while_heard<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, Error> {
        self.heard.within(limit, work).await
    }

    /// Closes a connection for good: the server rolls back whatever is open on it.
    pub fn close(connection: Object) {
        drop(Object::take(connection));
    }

    /// Whether the certificate of the server ends within 30 days, or one above it. Known only where it is verified.
    pub fn certificate_ends_soon(&self) -> bool {
        self.source.last().connector.ends_soon()
    }

    /// Closes connections that nobody has used for so long.
    pub fn close_idle(&self, longer_than: Duration) {
        drop(self.pool.retain(|_, used| used.last_used() < longer_than));
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        self.source.place()
    }

    /// Asks the server to end the statement that runs on this connection.
    pub async fn cancel(&self, client: &Client) {
        let connector = self.source.last().connector.clone();
        if let Err(error) = client.cancel_token().cancel_query(connector).await {
            tracing::warn!(error = %ErrorReport(&error), "cannot cancel the running statement");
        }
    }
}
