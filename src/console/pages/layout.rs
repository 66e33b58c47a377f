//! What all pages share: head, navigation, and who looks.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use crate::console::assets;
use crate::console::visit::Visit;

/// The pages that each page leads to.
const PAGES: [(&str, &str); 9] = [
    ("", "Overview"),
    ("jobs", "Jobs"),
    ("agents", "Agents"),
    ("drift", "Drift"),
    ("rollouts", "Rollouts"),
    ("trash", "Trash"),
    ("doctor", "Doctor"),
    ("businesses", "Businesses"),
    ("activity", "Activity"),
];

/// A whole page.
pub(in crate::console) fn page(
    visit: &Visit,
    status: StatusCode,
    title: &str,
    body: &Markup,
) -> Response {
    let root = &visit.root;
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            (head(root, &titled(visit, title)))
            body data-root=(root) {
                a.skip href="#main" { "To the content" }
                header {
                    strong { "agent-provisioner" }
                    (databases(visit))
                    nav aria-label="Pages" {
                        @for (path, name) in PAGES {
                            a href={ (root) (path) } aria-current=[(name == title).then_some("page")] { (name) }
                        }
                    }
                    div.who {
                        span { (visit.viewer.name) @if !visit.viewer.may_act() { " (reads only)" } }
                        @if visit.shared.authentication.has_login() {
                            form method="post" action={ (root) "logout" } { button { "Leave" } }
                        }
                    }
                }
                main id="main" {
                    div.live data-live hidden {
                        span data-live-state role="status" { "Connecting" }
                        button type="button" aria-pressed="false" { "Pause" }
                    }
                    (body)
                }
            }
        }
    };
    respond(status, markup)
}

/// Where a stranger enters a token.
pub(in crate::console) fn login(
    visit: &Visit,
    problem: Option<&str>,
    status: StatusCode,
) -> Response {
    let root = &visit.root;
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            (head(root, &titled(visit, "Enter")))
            body data-root=(root) {
                header { strong { "agent-provisioner" } }
                main id="main" {
                    h1 { "Enter" }
                    @if let Some(problem) = problem { p.problem role="alert" { (problem) } }
                    form.card method="post" action={ (root) "login" } {
                        p {
                            label for="token" { "Your token" } br;
                            input id="token" name="token" type="password" autocomplete="current-password" required size="40";
                        }
                        button.main { "Enter" }
                    }
                }
            }
        }
    };
    respond(status, markup)
}

/// Which of many databases it is, for whoever has several open.
fn titled(visit: &Visit, title: &str) -> String {
    visit.shared.name.as_ref().map_or_else(|| title.to_owned(), |name| format!("{name}: {title}"))
}

/// The way to the same pages of other databases.
fn databases(visit: &Visit) -> Markup {
    let (root, own) = (&visit.root, visit.shared.name.as_ref());
    html! {
        @if own.is_some() {
            nav aria-label="Databases" {
                @for name in &visit.shared.names {
                    a href={ (root) "../" (name) "/" } aria-current=[(Some(name) == own).then_some("true")] { (name) }
                }
            }
        }
    }
}

fn head(root: &str, title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            title { (title) " – agent-provisioner" }
            link rel="icon" href="data:,";
            link rel="stylesheet" href={ (root) "assets/" (assets::STYLE.name()) };
            script defer src={ (root) "assets/" (assets::SCRIPT.name()) } {}
        }
    }
}

fn respond(status: StatusCode, markup: Markup) -> Response {
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    (status, [(header::CONTENT_TYPE, html)], markup.into_string()).into_response()
}
