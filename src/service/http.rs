//! What probes and Prometheus ask: `/livez`, `/readyz`, `/metrics`.
//!
//! Anybody in the network may ask, without a password. So a connection is for one request, small and sent
//! soon, and there are few of them; and no answer holds a name, a host or what a server said.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::database_stats::DatabaseStats;
use super::serve::serve;
use crate::telemetry::{Metrics, Unready};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// For the request, the answer, which may wait six seconds for the database, and its receipt.
const CONNECTION_TAKES: Duration = Duration::from_secs(15);

/// Why nobody can ask.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve HTTP on {address}: set http.listen to a free address, or to \"off\"")]
pub struct Error {
    address: SocketAddr,
    #[source]
    source: io::Error,
}

/// The three answers, not yet served.
#[derive(Debug)]
pub struct Http {
    /// Where, with the port that was free.
    pub address: SocketAddr,
    listener: TcpListener,
}

#[derive(Clone, Debug)]
struct Surfaces {
    metrics: Arc<Metrics>,
    database_stats: Arc<DatabaseStats>,
    /// The code that the log has last explained.
    explained: watch::Sender<Option<&'static str>>,
}

impl Http {
    /// Takes the address, so that one that is taken is known before anything else is started.
    pub async fn bind(address: SocketAddr) -> Result<Self, Error> {
        let refused = |source| Error { address, source };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        tracing::info!(%address, "serving HTTP");
        Ok(Self { address, listener })
    }

    /// Answers until told to stop.
    pub fn serve(
        self,
        metrics: Arc<Metrics>,
        database_stats: DatabaseStats,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> {
        let database_stats = Arc::new(database_stats);
        let surfaces = Surfaces { metrics, database_stats, explained: watch::Sender::new(None) };
        let routes = Router::new()
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .route("/metrics", get(exposition))
            .with_state(surfaces);
        serve(self.listener, routes, CONNECTION_TAKES, stop)
    }
}

impl Surfaces {
    async fn ready(&self) -> Result<(), Unready> {
        self.metrics.liveness.last_look()?;
        self.database_stats.seen().await.schema.clone()?;
        self.metrics.liveness.last_proof()
    }

    /// Tells the log what the code leaves out, once.
    fn explain(&self, ready: Result<(), &Unready>) {
        let code = ready.err().map(|unready| unready.code);
        if !self.explained.send_if_modified(|last| std::mem::replace(last, code) != code) {
            return;
        }
        match ready {
            Ok(()) => tracing::info!("ready"),
            Err(Unready { code, reason }) => tracing::warn!(code, reason, "not ready"),
        }
    }
}

async fn livez(State(surfaces): State<Surfaces>) -> Response {
    answer(surfaces.metrics.liveness.live(), "live")
}

async fn readyz(State(surfaces): State<Surfaces>) -> Response {
    let ready = surfaces.ready().await;
    surfaces.explain(ready.as_ref().copied());
    answer(ready.map_err(|unready| unready.code.to_owned()), "ready")
}

async fn exposition(State(surfaces): State<Surfaces>) -> Response {
    let seen = surfaces.database_stats.seen().await;
    match surfaces.metrics.expose(seen.gauges.as_ref().map(|(_, gauges)| gauges), seen.counted) {
        Ok(text) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => answer(Err(error.to_string()), ""),
    }
}

fn answer(state: Result<(), String>, yes: &'static str) -> Response {
    match state {
        Ok(()) => format!("{yes}\n").into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}
