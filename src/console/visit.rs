//! One request, as the pages see it.

use std::sync::Arc;

use axum::http::{StatusCode, Uri};
use axum::response::Response;
use maud::{Markup, html};

use super::Shared;
use super::form::Fields;
use super::pages::layout;
use super::viewer::{Role, Viewer};
use crate::operations::{self, Actor};
use crate::telemetry::ErrorReport;

/// Who looks, at what, and the way from there to the first page.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    pub(super) shared: Arc<Shared>,
    pub(super) viewer: Viewer,
    /// Before each link: pages may stand below a path of a proxy's.
    pub(super) root: String,
    pub(super) query: Fields,
}

impl Visit {
    pub(super) fn new(shared: &Arc<Shared>, uri: &Uri, viewer: Viewer) -> Self {
        let depth = uri.path().matches('/').count().saturating_sub(1);
        let root = if depth == 0 { "./".to_owned() } else { "../".repeat(depth) };
        let query = Fields::parse(uri.query().unwrap_or_default().as_bytes());
        Self { shared: Arc::clone(shared), viewer, root, query }
    }

    /// Of somebody who has not entered.
    pub(super) fn stranger(shared: &Arc<Shared>, uri: &Uri) -> Self {
        Self::new(shared, uri, Viewer { name: String::new(), role: Role::Read })
    }

    /// For the record of an action.
    pub(super) fn actor(&self) -> Actor {
        Actor::new(Some(self.viewer.name.clone()))
    }

    /// The page, or one that says why there is none.
    pub(super) fn show(&self, title: &str, page: Result<Markup, operations::Error>) -> Response {
        match page {
            Ok(body) => layout::page(self, StatusCode::OK, title, &body),
            Err(error) => self.failed(&error),
        }
    }

    /// What an operation says that did not do what it was asked for.
    pub(super) fn failed(&self, error: &operations::Error) -> Response {
        let said = ErrorReport(error).to_string();
        let status = if matches!(error, operations::Error::NoJob(_) | operations::Error::NoAgent(_))
        {
            StatusCode::NOT_FOUND
        } else if matches!(error, operations::Error::Changed { .. }) {
            StatusCode::CONFLICT
        } else {
            tracing::warn!(error = said, "the console has not done what it was asked for");
            StatusCode::SERVICE_UNAVAILABLE
        };
        self.error(status, &said)
    }

    /// A page that says why there is no other.
    pub(super) fn error(&self, status: StatusCode, said: &str) -> Response {
        let body = html! {
            h1 { "Not done" }
            p.problem role="alert" { (said) }
            p { a href=(self.root) { "To the overview" } }
        };
        layout::page(self, status, "Not done", &body)
    }
}
