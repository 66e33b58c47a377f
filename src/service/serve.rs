//! Serves HTTP with limits: strangers may connect, and must not keep others from being answered.

use std::collections::VecDeque;
use std::net::SocketAddr;
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

/// Answers until told to stop. A connection is for one request, and ends after `longest`. Each request is told its peer as
/// [`ConnectInfo`].
///
/// Where there are too many connections, the oldest makes room: a probe is answered within milliseconds, and one that is not
/// is meant to be in the way. A browser's event stream is taken up again.
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
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let (stream, peer) = tokio::select! {
            accepted = Listener::accept(&mut listener) => accepted,
            Some(_) = tasks.join_next() => continue, // so that what has ended is not kept
            () = stop.cancelled() => break,
        };
        open.retain(|task| !task.is_finished());
        if open.len() >= CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        let routes = routes.clone().layer(Extension(ConnectInfo::<SocketAddr>(peer)));
        let service = TowerToHyperService::new(routes);
        let answered = graceful.watch(server.serve_connection(TokioIo::new(stream), service));
        open.push_back(tasks.spawn(async move {
            match timeout(longest, answered).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a client was not answered"),
                Err(_) => tracing::debug!("a client did not take its answer"),
            }
        }));
    }
    let _late = timeout(DRAIN, graceful.shutdown()).await.is_err();
}
