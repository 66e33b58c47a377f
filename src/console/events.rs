//! One stream of events for each page that is open: the parts of it that change, and the states of the jobs that it shows.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::Extension;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use maud::Markup;
use serde::Serialize;

use super::Shared;
use super::authentication::Known;
use super::pages::{drift, overview, rollouts};
use super::snapshot::{KEPT, Showing, Snapshot};
use super::visit::Visit;

/// What pages show of that which changes.
const PARTS: [&str; 11] = [
    "problems",
    "tiles",
    "throughput",
    "running",
    "blocked",
    "workers",
    "facts",
    drift::PART,
    "rollout",
    "start",
    "rollouts",
];

/// A page shows fewer jobs.
const MOST_JOBS: usize = 300;

/// So that proxies do not end a stream on which nothing happens.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What a stream is for.
struct Page {
    visit: Visit,
    /// What it shows of that which changes, by `data-part`.
    parts: BTreeSet<String>,
    jobs: BTreeSet<i64>,
    /// As long as it is open, the looks include its jobs.
    #[expect(dead_code, reason = "ends with the stream")]
    showing: Showing,
    peer: IpAddr,
    headers: HeaderMap,
}

#[derive(Serialize)]
struct Update {
    /// Markup of what bears this name in `data-part`.
    parts: BTreeMap<&'static str, String>,
    /// States of the jobs that the page shows.
    jobs: BTreeMap<i64, String>,
}

/// Ends with the service, when the browser goes away, and when the viewer may enter no more.
pub(super) async fn follow(
    Extension(visit): Extension<Visit>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    if visit.query.all("part").any(|part| !PARTS.contains(&part)) {
        return visit.error(StatusCode::BAD_REQUEST, "No page has such a part.");
    }
    let stop = visit.shared.stop.clone();
    let jobs: BTreeSet<i64> =
        visit.query.all("job").filter_map(|id| id.parse().ok()).take(MOST_JOBS).collect();
    let page = Page {
        showing: visit.shared.snapshots.show(jobs.iter().copied().collect()),
        parts: visit.query.all("part").map(str::to_owned).collect(),
        visit,
        jobs,
        peer: peer.ip(),
        headers,
    };
    let events = stream::unfold((page, None), |(page, last)| async move {
        let Page { visit, peer, headers, .. } = &page;
        if last.is_some() {
            tokio::time::sleep(KEPT).await;
            // A token may have been taken away meanwhile.
            let Known::As(_) = visit.shared.authentication.identify(*peer, headers, false) else {
                return None;
            };
        }
        let event = look(&page).await;
        let sent = if last.as_ref() == Some(&event) { None } else { Some(encode(&event)) };
        Some((sent, (page, Some(event))))
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

/// What the page shows now, or why that cannot be told.
async fn look(page: &Page) -> Result<String, String> {
    let Shared { snapshots, instance, .. } = &*page.visit.shared;
    let seen = snapshots.latest(instance).await;
    let snapshot = seen.as_ref().as_ref().map_err(|trouble| trouble.said.clone())?;
    let mut parts: BTreeMap<_, _> = overview::parts(snapshot, &page.visit.root).into();
    parts.insert(drift::PART, drift::differing(&snapshot.status.queue));
    if page.parts.contains("rollouts") {
        let seen = snapshots.rollouts(instance).await;
        let rollouts = seen.as_ref().as_ref().map_err(|trouble| trouble.said.clone())?;
        parts.extend(rollouts::parts(rollouts, &page.visit));
    }
    parts.retain(|name, _| page.parts.contains(*name));
    Ok(update(snapshot, page, parts))
}

fn update(snapshot: &Snapshot, page: &Page, parts: BTreeMap<&'static str, Markup>) -> String {
    let parts = parts.into_iter().map(|(name, markup)| (name, markup.into_string())).collect();
    let running = |id| snapshot.status.queue.running.iter().any(|job| job.id == id);
    let shown = snapshot.recent.jobs.iter().filter(|job| page.jobs.contains(&job.id));
    let jobs = shown.map(|job| {
        let state = if job.state == "pending" && running(job.id) { "running" } else { &job.state };
        (job.id, state.to_owned())
    });
    serde_json::to_string(&Update { parts, jobs: jobs.collect() }).unwrap_or_default()
}
