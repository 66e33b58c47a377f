//! The page that answers a request, or the one that says why there is none.

use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::pages::layout;
use super::snapshot::Trouble;
use super::visit::Visit;
use crate::operations;
use crate::operations::status::{self, ReaderLock};
use crate::telemetry::ErrorReport;

impl Visit {
    /// The page, or one that says why there is none.
    pub(super) async fn show(
        &self,
        title: &str,
        page: Result<Markup, operations::Error>,
    ) -> Response {
        match page {
            Ok(body) => layout::page(self, StatusCode::OK, title, &body),
            Err(error) => self.failed(&error).await,
        }
    }

    /// What an operation says that did not do what it was asked for.
    pub(super) async fn failed(&self, error: &operations::Error) -> Response {
        let said = ErrorReport(error).to_string();
        let status = if matches!(
            error,
            operations::Error::NoJob(_)
                | operations::Error::NoAgent(_)
                | operations::Error::NotRegistered(_)
                | operations::Error::NoRollout(_)
                | operations::Error::NoItem(_)
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
                | operations::Error::Refused(_)
        ) {
            StatusCode::CONFLICT
        } else {
            return self.troubled(&Trouble::of(error)).await;
        };
        self.error(status, &said)
    }

    /// What the database does not answer, with whoever has locked what it needs.
    pub(super) async fn troubled(&self, trouble: &Trouble) -> Response {
        let Trouble { said, is_lock } = trouble;
        tracing::warn!(error = said, "the console has not done what it was asked for");
        let holders = if *is_lock {
            status::reader_locks(&self.shared.instance).await.unwrap_or_default()
        } else {
            Vec::new()
        };
        self.refusal(StatusCode::SERVICE_UNAVAILABLE, said, &holders)
    }

    /// A page that says why there is no other.
    pub(super) fn error(&self, status: StatusCode, said: &str) -> Response {
        self.refusal(status, said, &[])
    }

    fn refusal(&self, status: StatusCode, said: &str, holders: &[ReaderLock]) -> Response {
        let body = html! {
            h1 { "Not done" }
            p.problem role="alert" { (said) }
            @for holder in holders {
                p.problem role="alert" { "The lock is held by " (holder.said) ". To end it: " code { (holder.way_out) } }
            }
            p { a href=(self.root) { "To the overview" } }
        };
        layout::page(self, status, "Not done", &body)
    }
}
