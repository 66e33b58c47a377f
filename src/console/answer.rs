//! The page that answers a request, or the one that says why there is none.

use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::pages::layout;
use super::visit::Visit;
use crate::operations;
use crate::telemetry::ErrorReport;

impl Visit {
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
        let status = if matches!(
            error,
            operations::Error::NoJob(_)
                | operations::Error::NoAgent(_)
                | operations::Error::NotRegistered(_)
                | operations::Error::NoRollout(_)
        ) {
            StatusCode::NOT_FOUND
        } else if matches!(
            error,
            operations::Error::Changed { .. }
                | operations::Error::RolloutOver { .. }
                | operations::Error::RolloutOpen { .. }
                | operations::Error::PlanChanged(_)
                | operations::Error::NoFinding(_)
                | operations::Error::NotAccepted(_)
        ) {
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
