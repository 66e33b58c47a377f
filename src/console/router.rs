//! All addresses of the console.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Router, middleware};

use super::guard::{EVENTS, LOGIN, LOGOUT, guard};
use super::pages::{
    activity, agent, agents, businesses, doctor, drift, job, jobs, overview, rollouts, trash,
};
use super::visit::Visit;
use super::{
    Shared, actions, assets, doctor_actions, drift_actions, events, login, rollout_actions,
    trash_actions,
};

/// Methods and paths. A test walks them: without the right to act every `POST` is refused, but those to enter and leave.
pub const ROUTES: [(&str, &str); 27] = [
    ("GET", "/"),
    ("GET", "/jobs"),
    ("GET", "/jobs/{id}"),
    ("GET", "/jobs/act"),
    ("POST", "/jobs/act"),
    ("GET", "/agents"),
    ("GET", "/agents/{prefix}"),
    ("GET", "/agents/{prefix}/sql"),
    ("GET", "/drift"),
    ("GET", "/drift/act"),
    ("POST", "/drift/act"),
    ("GET", "/rollouts"),
    ("GET", "/rollouts/act"),
    ("POST", "/rollouts/act"),
    ("GET", "/trash"),
    ("GET", "/trash/act"),
    ("POST", "/trash/act"),
    ("GET", "/businesses"),
    ("GET", "/businesses/{business}"),
    ("GET", "/activity"),
    ("GET", "/doctor"),
    ("GET", "/doctor/act"),
    ("POST", "/doctor/act"),
    ("GET", EVENTS),
    ("GET", "/assets/{name}"),
    ("POST", LOGIN),
    ("POST", LOGOUT),
];

/// What answers; the router is made of nothing but [`ROUTES`].
fn handler(method: &str, path: &str) -> MethodRouter {
    match (method, path) {
        ("GET", "/") => get(overview::show),
        ("GET", "/jobs") => get(jobs::show),
        ("GET", "/jobs/{id}") => get(job::show),
        ("GET", "/jobs/act") => get(actions::preview),
        ("POST", "/jobs/act") => post(actions::carry_out),
        ("GET", "/agents") => get(agents::show),
        ("GET", "/agents/{prefix}") => get(agent::show),
        ("GET", "/agents/{prefix}/sql") => get(agent::sql),
        ("GET", "/drift") => get(drift::show),
        ("GET", "/drift/act") => get(drift_actions::preview),
        ("POST", "/drift/act") => post(drift_actions::carry_out),
        ("GET", "/rollouts") => get(rollouts::show),
        ("GET", "/rollouts/act") => get(rollout_actions::preview),
        ("POST", "/rollouts/act") => post(rollout_actions::carry_out),
        ("GET", "/trash") => get(trash::show),
        ("GET", "/trash/act") => get(trash_actions::preview),
        ("POST", "/trash/act") => post(trash_actions::carry_out),
        ("GET", "/businesses") => get(businesses::show),
        ("GET", "/businesses/{business}") => get(businesses::one),
        ("GET", "/activity") => get(activity::show),
        ("GET", "/doctor") => get(doctor::show),
        ("GET", "/doctor/act") => get(doctor_actions::preview),
        ("POST", "/doctor/act") => post(doctor_actions::carry_out),
        ("GET", EVENTS) => get(events::follow),
        ("GET", "/assets/{name}") => get(assets::serve),
        ("POST", LOGIN) => post(login::enter),
        ("POST", LOGOUT) => post(login::leave),
        _ => get(missing),
    }
}

/// The pages of the only database; those of one with a name are below `/db/NAME/`, and the root leads to the first.
pub(super) fn router(databases: Vec<Arc<Shared>>) -> Router {
    let mut router = Router::new();
    if let Some(name) = databases.first().and_then(|first| first.name.as_ref()) {
        let first = format!("./db/{name}/");
        router = router.route("/", get(async move || Redirect::to(&first)));
    }
    databases.into_iter().fold(router, |router, shared| match shared.name.clone() {
        None => pages(shared),
        Some(name) => router.nest(&format!("/db/{name}/"), pages(shared)),
    })
}

fn pages(shared: Arc<Shared>) -> Router {
    let routes = ROUTES
        .into_iter()
        .fold(Router::new(), |router, (method, path)| router.route(path, handler(method, path)));
    routes.fallback(missing).layer(middleware::from_fn_with_state(shared, guard))
}

/// Below the assets there is no viewer.
async fn missing(visit: Option<Extension<Visit>>) -> Response {
    match visit {
        Some(Extension(visit)) => visit.error(StatusCode::NOT_FOUND, "There is no such page."),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
