//! Connections: where to, how encrypted, how long they may wait, and what they are called.

mod heard;
mod hosts;
mod listener;
mod migrate;
mod migration;
mod presence;
mod solo;
mod tls;
mod url;

use std::time::Duration;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Timeouts,
};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::Chain;
use heard::Heard;
use hosts::{Encrypted, Hosts};

pub use listener::{Event, Listener, Unheard};
pub use migrate::{
    Error as MigrateError, Step, down, install_shim, migrate, require_current, schema_version,
    script, status,
};
pub use migration::Migration;
pub use presence::{Difference, Instance, Presence};
pub use solo::{Solo, drive};
pub use tls::{Error as TlsError, SslMode, connector};
pub use url::{Error as UrlError, Target};

/// The server ends a transaction whose client has gone quiet: a host that vanishes holds its job
/// no longer than this. In the middle of a statement it does not; there `jobs::Reconcile` does.
pub const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(10);

/// As `pg_stat_activity` shows a connection that is on no job.
const APPLICATION_NAME: &str = "agent-provisioner";

/// Why there is no connection, or why a statement on it failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The TLS settings cannot be used.
    #[error("cannot set up TLS")]
    Tls(#[from] TlsError),
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
    Pool(#[source] Box<deadpool_postgres::PoolError>),
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
    connector: MakeRustlsConnect,
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
    pub fn new(target: &Target, patience: &Patience, size: usize) -> Result<Self, Error> {
        let hosts = Hosts::new(target, patience.connect)?;
        let (connector, heard, create) = (hosts.connector(), hosts.heard(), hosts.limit());
        // Transactions end when they are dropped, and a worker closes what it used (`close`): all
        // that is left to look at is whether the connection lives.
        let recycle = ManagerConfig { recycling_method: RecyclingMethod::Verified };
        let manager = Manager::from_connect(target.config.clone(), hosts, recycle);
        // Behind a transaction-mode pooler they would become other clients' settings; a job's own
        // transaction sets what it needs in any case.
        let settings = if target.transaction_pooler { Vec::new() } else { settings(patience) };
        let pool = Pool::builder(manager)
            .max_size(size)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: Some(patience.connect),
                create: Some(create),
                recycle: Some(patience.connect),
            })
            .post_create(Hook::async_fn(move |client, _| {
                let settings = settings.clone();
                Box::pin(async move { set(client, &settings).await.map_err(HookError::Backend) })
            }))
            .build()?;
        // The pool's own limits leave out the settings made after the connection.
        Ok(Self { pool, connector, heard, limit: create + patience.connect })
    }

    /// A connection, which goes back to the pool when dropped.
    pub async fn get(&self) -> Result<Object, Error> {
        match tokio::time::timeout(self.limit, self.pool.get()).await {
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
        if let Err(error) = client.cancel_token().cancel_query(self.connector.clone()).await {
            tracing::warn!(error = %Chain(&error), "cannot cancel the running statement");
        }
    }
}

/// A connection outside the pool, with the half of it that the caller must poll.
async fn connect(
    target: &Target,
    patience: &Patience,
) -> Result<(Client, Connection<Socket, Encrypted>), Error> {
    let hosts = Hosts::new(target, patience.connect)?;
    match tokio::time::timeout(hosts.limit(), hosts.connect()).await {
        Ok(connected) => connected.map_err(Error::Connect),
        Err(_) => Err(Error::Timeout(hosts.limit())),
    }
}

/// Set by SQL, because poolers drop options at startup. The TCP settings make the server notice a
/// client host that vanished; without them a lock could stay for two hours. To compile a query of
/// ours takes ten times as long as to run it.
fn settings(patience: &Patience) -> Vec<(&'static str, String)> {
    let ms = |duration: Duration| duration.as_millis().to_string();
    vec![
        ("statement_timeout", ms(patience.statement)),
        ("lock_timeout", ms(patience.lock)),
        ("idle_in_transaction_session_timeout", ms(IDLE_IN_TRANSACTION)),
        ("tcp_keepalives_idle", "10".to_owned()),
        ("tcp_keepalives_interval", "5".to_owned()),
        ("tcp_keepalives_count", "3".to_owned()),
        ("tcp_user_timeout", "20000".to_owned()),
        ("client_connection_check_interval", "5000".to_owned()),
        ("jit", "off".to_owned()),
    ]
}

async fn set(
    client: &Client,
    settings: &[(&'static str, String)],
) -> Result<(), tokio_postgres::Error> {
    let (names, values): (Vec<&str>, Vec<&str>) =
        settings.iter().map(|(name, value)| (*name, value.as_str())).unzip();
    let sql =
        "select set_config(name, value, false) from unnest($1::text[], $2::text[]) s (name, value)";
    let parameters: [(&(dyn ToSql + Sync), Type); 2] =
        [(&names, Type::TEXT_ARRAY), (&values, Type::TEXT_ARRAY)];
    client.query_typed(sql, &parameters).await.map(drop)
}
