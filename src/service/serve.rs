//! Serves HTTP with limits: strangers may connect, and must not keep others from being answered.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::serve::Listener;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// For a request to arrive in, and for a connection that sends none.
pub(crate) const REQUEST_TAKES: Duration = Duration::from_secs(5);
/// Line and headers.
const REQUEST_SIZE: usize = 16 * 1024;
/// Descriptors that are left for connections to the database, whatever strangers do.
const CONNECTIONS: usize = 64;

/// A client that is still being answered when the service stops is waited for no longer.
const DRAIN: Duration = Duration::from_secs(1);

/// A connection of somebody who is known. Strangers' make room before it does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known(Arc<AtomicBool>);

impl Known {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Answers until told to stop. A connection is for one request, and ends after `longest`. Each request is told its peer as
/// [`ConnectInfo`], and may set its connection [`Known`].
///
/// Where there are too many connections, the oldest of a stranger makes room, or else the oldest: a probe is answered within
/// milliseconds, and one that is not is meant to be in the way. A browser's event stream is taken up again.
pub(crate) async fn serve(
    mut listener: TcpListener,
    routes: Router,
    longest: Duration,
    stop: CancellationToken,
) {
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(REQUEST_TAKES);
    server.max_buf_size(REQUEST_SIZE).keep_alive(false);
    let graceful = GracefulShutdown::new();
    let mut tasks = JoinSet::new();
    let mut open: VecDeque<(AbortHandle, Known)> = VecDeque::new();
    loop {
        let (stream, peer) = tokio::select! {
            accepted = Listener::accept(&mut listener) => accepted,
            Some(_) = tasks.join_next() => continue, // so that what has ended is not kept
            () = stop.cancelled() => break,
        };
        open.retain(|(task, _)| !task.is_finished());
        if open.len() >= CONNECTIONS {
            let oldest = open.iter().position(|(_, known)| !known.is_set()).unwrap_or(0);
            if let Some((task, _)) = open.remove(oldest) {
                task.abort();
            }
        }
        let known = Known::default();
        let routes = routes.clone().layer(Extension(ConnectInfo::<SocketAddr>(peer)));
        let routes = routes.layer(Extension(known.clone()));
        let service = TowerToHyperService::new(routes);
        let answered = graceful.watch(server.serve_connection(TokioIo::new(stream), service));
        let task = tasks.spawn(async move {
            match timeout(longest, answered).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a client was not answered"),
                Err(_) => tracing::debug!("a client did not take its answer"),
            }
        });
        open.push_back((task, known));
    }
    let _late = timeout(DRAIN, graceful.shutdown()).await.is_err();
}
