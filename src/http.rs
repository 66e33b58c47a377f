//! What probes and Prometheus ask: `/livez`, `/readyz`, `/metrics`.

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
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::survey::Survey;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A client that is still being answered when the service stops is waited for no longer.
const DRAIN: Duration = Duration::from_secs(1);

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
    survey: Arc<Survey>,
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
        survey: Survey,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> {
        let surfaces = Surfaces { metrics, survey: Arc::new(survey) };
        let routes = Router::new()
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .route("/metrics", get(exposition))
            .with_state(surfaces);
        async move {
            let graceful = stop.clone().cancelled_owned();
            let served = axum::serve(self.listener, routes).with_graceful_shutdown(graceful);
            tokio::select! {
                served = served.into_future() => {
                    if let Err(error) = served {
                        tracing::error!(%error, "cannot serve HTTP");
                    }
                }
                () = async { stop.cancelled().await; tokio::time::sleep(DRAIN).await } => {}
            }
        }
    }
}

async fn livez(State(surfaces): State<Surfaces>) -> Response {
    answer(surfaces.metrics.pulse.live(), "live")
}

async fn readyz(State(surfaces): State<Surfaces>) -> Response {
    let ready = match surfaces.metrics.pulse.last_look() {
        Ok(()) => surfaces.survey.seen().await.schema.clone(),
        Err(reason) => Err(reason),
    };
    let ready = ready.and_then(|()| surfaces.metrics.pulse.last_proof());
    answer(ready, "ready")
}

async fn exposition(State(surfaces): State<Surfaces>) -> Response {
    let seen = surfaces.survey.seen().await;
    match surfaces.metrics.expose(seen.stock.as_ref()) {
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
