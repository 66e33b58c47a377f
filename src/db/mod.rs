//! Connections: where to, how encrypted, how long they may wait, and what they are called.

mod auth;
mod connector;
mod heard;
mod hosts;
mod listener;
mod migrate;
mod migration;
mod presence;
mod read_only;
pub(crate) mod settings;
mod solo;
mod source;
mod tls;
mod url;

use std::time::Duration;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
    Timeouts,
};
use tokio_postgres::{Client, Connection, IsolationLevel, Socket, Transaction};

use crate::error::Chain;
use heard::Heard;
use hosts::Hosts;

pub use auth::Methods;
pub use connector::{Connecting, Connector, Wire};
pub use listener::{Event, Listener, Unheard};
pub use migrate::{
    Error as MigrateError, Step, down, install_shim, migrate, require_current, schema_version,
    script, status,
};
pub use migration::Migration;
pub use presence::{Difference, Instance, Presence};
pub use read_only::{ReadOnly, require_writable};
pub use solo::{Solo, drive};
pub use source::{Source, UrlFile};
pub use tls::{Error as TlsError, SslMode};
pub use url::{Error as UrlError, Target};

/// The server ends a transaction whose client has gone quiet: a host that vanishes holds its job
/// no longer than this. In the middle of a statement it does not; there `jobs::Reconcile` does.
pub const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(10);

/// As `pg_stat_activity` shows a connection that is on no job.
const APPLICATION_NAME: &str = "agent-provisioner";

/// Why there is no connection, or why a statement on it failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection could be made.
    #[error("cannot connect")]
    Connect(#[source] tokio_postgres::Error),
    /// Nothing answered in time, which is measured by `database.connect_timeout`.
    #[error("cannot connect: no answer within {0:?}")]
    Timeout(Duration),
    /// A connection is there, but what was asked on it is not answered.
    #[error("no answer within {0:?}")]
    Silent(Duration),
    /// The pool gave no connection.
    #[error("cannot take a connection from the pool")]
    Pool(#[source] Box<PoolError>),
    /// The pool cannot be set up.
    #[error("cannot set up the connection pool")]
    Build(#[from] deadpool_postgres::BuildError),
    /// The server refused a statement.
    #[error("the database refused")]
    Query(#[from] tokio_postgres::Error),
}

/// How long connections and their statements may take.
#[derive(Clone, Debug)]
pub struct Patience {
    /// From the first packet to the first statement.
    pub connect: Duration,
    /// Each statement.
    pub statement: Duration,
    /// Each wait for a lock.
    pub lock: Duration,
}

/// The database, by way of a pool.
#[derive(Clone)]
pub struct Db {
    pool: Pool,
    source: Source,
    heard: Heard,
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
    pub fn new(source: &Source, patience: &Patience, size: usize) -> Result<Self, Error> {
        let hosts = Hosts::new(source, patience.connect);
        let (heard, create) = (hosts.heard(), hosts.limit());
        // Transactions end when they are dropped, and a worker closes what it used (`close`): all
        // that is left to look at is whether the connection lives.
        let recycle = ManagerConfig { recycling_method: RecyclingMethod::Verified };
        let manager = Manager::from_connect(tokio_postgres::Config::new(), hosts, recycle);
        // Behind a transaction-mode pooler they would become other clients' settings; a job's own
        // transaction sets what it needs in any case.
        let (settings, shared) = (settings::of_session(patience), source.clone());
        let pool = Pool::builder(manager)
            .max_size(size)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: Some(patience.connect),
                create: Some(create),
                recycle: Some(patience.connect),
            })
            .post_create(Hook::async_fn(move |client, _| {
                let settings = if shared.is_pooled() { Vec::new() } else { settings.clone() };
                Box::pin(async move {
                    settings::set(client, &settings).await.map_err(HookError::Backend)
                })
            }))
            .build()?;
        // The pool's own limits leave out the settings made after the connection.
        let source = source.clone();
        Ok(Self { pool, source, heard, limit: create + patience.connect })
    }

    /// A connection, which goes back to the pool when dropped.
    pub async fn get(&self) -> Result<Object, Error> {
        match tokio::time::timeout(self.limit, self.pool.get()).await {
            // The pool's own error would say the same twice.
            Ok(Err(PoolError::Backend(error))) => Err(Error::Connect(error)),
            Ok(taken) => taken.map_err(|error| Error::Pool(Box::new(error))),
            Err(_) => Err(Error::Timeout(self.limit)),
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

    /// Asks the server to end the statement that runs on this connection.
    pub async fn cancel(&self, client: &Client) {
        let connector = self.source.last().connector.clone();
        if let Err(error) = client.cancel_token().cancel_query(connector).await {
            tracing::warn!(error = %Chain(&error), "cannot cancel the running statement");
        }
    }
}

/// Begins a transaction in which all that we depend on is set, whatever the session has.
pub(crate) async fn begin(client: &mut Client) -> Result<Transaction<'_>, tokio_postgres::Error> {
    // What is checked has to be what is there now, not what was there at the beginning.
    let begin = client.build_transaction().isolation_level(IsolationLevel::ReadCommitted);
    let tx = begin.start().await?;
    tx.batch_execute(&settings::local()).await?;
    Ok(tx)
}

/// A connection outside the pool, with the half of it that the caller must poll.
async fn connect(
    source: &Source,
    patience: &Patience,
) -> Result<(Client, Connection<Socket, Wire>), Error> {
    let hosts = Hosts::new(source, patience.connect);
    match tokio::time::timeout(hosts.limit(), hosts.connect()).await {
        Ok(connected) => connected.map_err(Error::Connect),
        Err(_) => Err(Error::Timeout(hosts.limit())),
    }
}
