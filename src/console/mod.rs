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
mod viewer;
mod visit;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::{self, Config};
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
    listener: TcpListener,
    shared: Arc<Shared>,
}

/// What all requests share.
#[derive(Debug)]
struct Shared {
    instance: Instance,
    service: ServiceSide,
    authentication: Authentication,
    snapshots: Snapshots,
    address: SocketAddr,
    hosts: Vec<String>,
    stop: CancellationToken,
}

/// Serves it as a part of the service, where there is one.
pub fn beside(console: Option<Console>, parts: &Parts) {
    if let Some(console) = console {
        parts.vital("console", console.serve(parts.stop.clone()));
    }
}

impl Console {
    /// Takes the address, where one is set. Fails where a setting would let nobody in, or anybody.
    pub async fn bind(config: &Config) -> Result<Option<Self>, Error> {
        let Some(address) = config.console.listen else { return Ok(None) };
        let authentication = Authentication::new(&config.console)?;
        let database = config.console.database(&config.database)?;
        let of_console = Config { database, ..Config::default() };
        let instance = Instance::new(of_console, config::Console::CONNECTIONS);
        let instance = instance.map_err(Error::Database)?;
        let service = ServiceSide::new(config).map_err(Error::Database)?;
        let failed = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        tracing::info!(%address, "serving the console");
        let (hosts, stop) = (config.console.hosts.clone(), CancellationToken::new());
        let snapshots = Snapshots::default();
        let shared = Shared { instance, service, authentication, snapshots, address, hosts, stop };
        Ok(Some(Self { listener, shared: Arc::new(shared) }))
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Answers until told to stop.
    pub fn serve(self, stop: CancellationToken) -> impl Future<Output = ()> {
        let Self { listener, shared } = self;
        async move {
            let streams = shared.stop.clone();
            let routes = router::router(shared);
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
