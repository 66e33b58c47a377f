//! The operator's console: pages for a browser, made by the server.
//!
//! It logs in to the database with a role of its own, which reads no customer. It has a listener of its own, off
//! by default. One layer, `guard`, decides who may enter and who may act; a handler decides nothing of that.

mod actions;
mod answer;
mod assets;
mod authentication;
mod confirm;
mod doctor_actions;
mod drift_actions;
mod events;
mod filter;
mod form;
mod guard;
mod login;
mod pages;
mod reason;
mod rollout_actions;
mod router;
mod service_side;
mod snapshot;
mod tokens;
mod trash_actions;
mod viewer;
mod visit;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::{self, Config, DatabaseName};
use crate::service::{Instance, InstanceError, Parts, serve};
use authentication::Authentication;
use service_side::ServiceSide;
use snapshot::Snapshots;

pub use router::ROUTES;
pub use tokens::Error as TokensError;

/// An event stream ends then, and the browser takes it up again.
const CONNECTION_TAKES: Duration = Duration::from_mins(10);

/// Why there is no console.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken, or none of this machine's.
    #[error(
        "cannot serve the console on {address}: set console.listen to a free address, or to \"off\""
    )]
    Listen {
        /// As it is set.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nobody could enter.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The URL of its database cannot be used.
    #[error("the console cannot use console.database_url")]
    Database(#[source] InstanceError),
}

impl Error {
    /// Whether settings have to change.
    pub fn is_configuration(&self) -> bool {
        !matches!(self, Self::Listen { .. })
    }
}

/// A console that has its address and serves nobody yet.
#[derive(Debug)]
pub struct Console {
    address: SocketAddr,
    listener: TcpListener,
    databases: Vec<Arc<Shared>>,
    stop: CancellationToken,
}

/// What all requests about a database share.
#[derive(Debug)]
struct Shared {
    /// Its name, where each has one.
    name: Option<DatabaseName>,
    /// All that there are pages of.
    names: Vec<DatabaseName>,
    instance: Instance,
    service: ServiceSide,
    authentication: Authentication,
    snapshots: Snapshots,
    address: SocketAddr,
    hosts: Vec<String>,
    stop: CancellationToken,
}

impl Shared {
    fn new(
        config: &Config,
        names: &[DatabaseName],
        address: SocketAddr,
        stop: &CancellationToken,
    ) -> Result<Self, Error> {
        let authentication = Authentication::new(&config.console)?;
        let database = config.console.database(&config.database)?;
        let of_console = Config { database, ..Config::default() };
        let instance = Instance::new(of_console, config::Console::CONNECTIONS);
        Ok(Self {
            name: config.name.clone(),
            names: names.to_vec(),
            instance: instance.map_err(Error::Database)?,
            service: ServiceSide::new(config).map_err(Error::Database)?,
            authentication,
            snapshots: Snapshots::default(),
            address,
            hosts: config.console.hosts.clone(),
            stop: stop.clone(),
        })
    }
}

/// Serves it as a part of the service, where there is one.
pub fn beside(console: Option<Console>, parts: &Parts) {
    if let Some(console) = console {
        parts.vital("console", console.serve(parts.stop.clone()));
    }
}

impl Console {
    /// Takes the address, where one is set. Fails where a setting would let nobody in, or anybody. The first says where.
    pub async fn bind(configs: &[&Config]) -> Result<Option<Self>, Error> {
        let address = configs.first().and_then(|config| config.console.listen);
        let Some(address) = address else { return Ok(None) };
        let stop = CancellationToken::new();
        let names: Vec<_> = configs.iter().filter_map(|config| config.name.clone()).collect();
        let shared = configs.iter().map(|config| Shared::new(config, &names, address, &stop));
        let mut databases = shared.collect::<Result<Vec<_>, _>>()?;
        let failed = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        for shared in &mut databases {
            shared.address = address;
        }
        tracing::info!(%address, "serving the console");
        let databases = databases.into_iter().map(Arc::new).collect();
        Ok(Some(Self { address, listener, databases, stop }))
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until told to stop.
    pub fn serve(self, stop: CancellationToken) -> impl Future<Output = ()> {
        let Self { listener, databases, stop: streams, .. } = self;
        async move {
            let routes = router::router(databases);
            // Streams end at once; everything else is drained.
            let ending = async {
                stop.cancelled().await;
                streams.cancel();
            };
            let ((), ()) =
                tokio::join!(serve(listener, routes, CONNECTION_TAKES, stop.clone()), ending);
        }
    }
}
