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
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::serve::serve;
use super::served::Served;

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
    pub fn serve(self, served: Arc<Served>, stop: CancellationToken) -> impl Future<Output = ()> {
        let routes = Router::new()
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .route("/metrics", get(exposition))
            .with_state(served);
        serve(self.listener, routes, CONNECTION_TAKES, stop)
    }
}

async fn livez(State(served): State<Arc<Served>>) -> Response {
    let live = served.live().map(|()| "live".to_owned());
    let code = if live.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    answer(code, &live.unwrap_or_else(|reason| reason))
}

/// Of all databases, or with `?database=NAME` of one.
async fn readyz(State(served): State<Arc<Served>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let named = query.split('&').find_map(|pair| pair.strip_prefix("database="));
    match served.ready(named).await {
        Some((true, said)) => answer(StatusCode::OK, &said),
        Some((false, said)) => answer(StatusCode::SERVICE_UNAVAILABLE, &said),
        None => answer(StatusCode::NOT_FOUND, "there is no such database"),
    }
}

async fn exposition(State(served): State<Arc<Served>>) -> Response {
    match served.exposition().await {
        Ok(text) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => answer(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

fn answer(code: StatusCode, said: &str) -> Response {
    (code, format!("{said}\n")).into_response()
}
