//! One stream of events for each page that is open: the parts of the overview, and the states of jobs.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Extension;
use axum::extract::ConnectInfo;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde::Serialize;

use super::authentication::Known;
use super::pages::overview;
use super::snapshot::{KEPT, Snapshot};
use super::visit::Visit;

/// So that proxies do not end a stream on which nothing happens.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

#[derive(Serialize)]
struct Update {
    /// Markup of what bears this name in `data-part`.
    parts: BTreeMap<&'static str, String>,
    /// States of jobs.
    jobs: BTreeMap<i64, String>,
}

/// Ends with the service, when the browser goes away, and when the viewer may enter no more.
pub(super) async fn follow(
    Extension(visit): Extension<Visit>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    let stop = visit.shared.stop.clone();
    let from = (peer.ip(), headers);
    let events = stream::unfold((visit, from, None), |(visit, from, last)| async move {
        if last.is_some() {
            tokio::time::sleep(KEPT).await;
            // A token may have been taken away meanwhile.
            let Known::As(_) = visit.shared.authentication.identify(from.0, &from.1, false) else {
                return None;
            };
        }
        let event = match &*visit.shared.snapshots.latest(&visit.shared.instance).await {
            Ok(snapshot) => Ok(update(snapshot, &visit.root)),
            Err(error) => Err(error.clone()),
        };
        let sent = if last.as_ref() == Some(&event) { None } else { Some(encode(&event)) };
        Some((sent, (visit, from, Some(event))))
    });
    let events = events.filter_map(|event| async move { event.map(Ok::<_, Infallible>) });
    let events = Box::pin(events.take_until(stop.cancelled_owned()));
    let stream = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    // Some proxies would collect the events.
    ([("X-Accel-Buffering", "no")], stream).into_response()
}

fn encode(event: &Result<String, String>) -> Event {
    match event {
        Ok(data) => Event::default().data(data),
        Err(error) => Event::default().event("problem").data(error.replace(['\r', '\n'], " ")),
    }
}

fn update(snapshot: &Snapshot, root: &str) -> String {
    let parts = overview::parts(snapshot, root);
    let parts = parts.into_iter().map(|(name, markup)| (name, markup.into_string())).collect();
    let running = |id| snapshot.status.queue.running.iter().any(|job| job.id == id);
    let changed = snapshot.recent.changed.iter();
    let jobs = changed.map(|job| {
        let state = if job.state == "pending" && running(job.id) { "running" } else { &job.state };
        (job.id, state.to_owned())
    });
    serde_json::to_string(&Update { parts, jobs: jobs.collect() }).unwrap_or_default()
}
