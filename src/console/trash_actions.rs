//! Bringing a deleted agent back, and having the service drop it for good: shown first, then done with a reason.

use axum::Extension;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::confirm::{self, word};
use super::form::Fields;
use super::pages::parts::{old, time};
use super::reason;
use super::visit::Visit;
use crate::operations;
use crate::operations::trash::{self, Trashed};

/// Something that an operator can do to an item of the trash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Restore,
    Purge,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::Restore => "restore",
            Self::Purge => "purge",
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Restore => "Restore",
            Self::Purge => "Purge",
        }
    }

    fn command(self, trashed: &Trashed) -> String {
        let item = trashed.item;
        match self {
            Self::Restore => {
                let prefix = word(&trashed.agent_prefix);
                format!("agent-provisioner agents restore {prefix} --item {item}")
            }
            Self::Purge => format!("agent-provisioner agents purge --item {item} --yes"),
        }
    }
}

/// What a form or an address asks for, and of which item.
fn asked(fields: &Fields) -> Result<(Action, i64), &'static str> {
    let action = match fields.get("action") {
        Some("restore") => Action::Restore,
        Some("purge") => Action::Purge,
        _ => return Err("There is no such action."),
    };
    let item = fields.get("item").and_then(|item| item.parse().ok());
    Ok((action, item.ok_or("An item of the trash has a number.")?))
}

/// Shows what would be done, and asks for a reason.
pub(super) async fn preview(Extension(visit): Extension<Visit>) -> Response {
    let (action, item) = match asked(&visit.query) {
        Ok(asked) => asked,
        Err(problem) => return visit.error(StatusCode::BAD_REQUEST, problem),
    };
    let found = trash::find(&visit.shared.instance, item).await;
    visit.show(action.label(), found.map(|trashed| confirm(action, &trashed))).await
}

fn confirm(action: Action, trashed: &Trashed) -> Markup {
    let fields = [("action", action.name().to_owned()), ("item", trashed.item.to_string())];
    let prefix = &trashed.agent_prefix;
    html! {
        h1 { (action.label()) " " (prefix) }
        @match action {
            Action::Restore => p {
                "A worker moves the tables back and enters the agent again, with its id, its user, its grants and publications. "
                "A repair then gives the foreign keys back. The job fails where another agent has the prefix by then."
            },
            Action::Purge => p.problem {
                "The service drops the tables at its next sweep. No row comes back after that. Until then a restore is possible."
            },
        }
        dl.card {
            dt { "item" } dd { (trashed.item) }
            dt { "agent" } dd { (prefix) " (" (trashed.agent_id) ")" }
            dt { "user" }
            dd {
                @match (&trashed.user_id, trashed.owner_known) {
                    (Some(user), _) => (user),
                    (None, true) => "none",
                    (None, false) => "not known: it comes back without one",
                }
            }
            dt { "deleted" } dd { (old(Some(trashed.age))) " ago, " (time(Some(&trashed.deleted_at))) }
            dt { "tables" } dd { (trashed.tables) @if let Some(rows) = trashed.rows { ", about " (rows) " rows" } }
        }
        @for schema in &trashed.lost_schemas { p.note { "A schema that it needs is gone. Run first: " code { (schema) } } }
        (confirm::form_with(&fields, &typed(action), &format!("{} {prefix}", action.label()), "../trash"))
        (confirm::command(Some(&action.command(trashed))))
    }
}

/// What cannot be undone asks for more than a click.
fn typed(action: Action) -> Markup {
    html! {
        @if action == Action::Purge {
            p { label for="prefix" { "The prefix, once more" } br; input id="prefix" name="prefix" required autocomplete="off"; }
        }
    }
}

/// Does it.
pub(super) async fn carry_out(Extension(visit): Extension<Visit>, body: Bytes) -> Response {
    let fields = Fields::parse(&body);
    let (action, item) = match asked(&fields) {
        Ok(asked) => asked,
        Err(problem) => return visit.error(StatusCode::BAD_REQUEST, problem),
    };
    let reason = match reason::read(&fields) {
        Ok(reason) => reason,
        Err(problem) => return visit.error(StatusCode::BAD_REQUEST, &problem),
    };
    let trashed = match trash::find(&visit.shared.instance, item).await {
        Ok(trashed) => trashed,
        Err(error) => return visit.failed(&error).await,
    };
    if action == Action::Purge && fields.get("prefix") != Some(trashed.agent_prefix.as_str()) {
        let said = "Type the prefix of the agent: it is dropped for good.";
        return visit.error(StatusCode::BAD_REQUEST, said);
    }
    let done = match action {
        Action::Restore => restore(&visit, &trashed, &reason).await,
        Action::Purge => purge(&visit, &trashed, &reason).await,
    };
    visit.show(action.label(), done).await
}

async fn restore(
    visit: &Visit,
    trashed: &Trashed,
    reason: &str,
) -> Result<Markup, operations::Error> {
    let (actor, instance) = (visit.actor(), &visit.shared.instance);
    let job = trash::request_restore(&actor, instance, trashed.item, reason).await?;
    visit.tell("restore", "job", &job);
    Ok(html! {
        h1 { "Restore of " (trashed.agent_prefix) ": queued" }
        p { a href={ "../jobs/" (job) } { "Job " (job) } }
        p { a href="../trash" { "To the trash" } }
    })
}

async fn purge(
    visit: &Visit,
    trashed: &Trashed,
    reason: &str,
) -> Result<Markup, operations::Error> {
    let (actor, instance) = (visit.actor(), &visit.shared.instance);
    trash::request_purge(&actor, instance, trashed.item, reason).await?;
    visit.tell("purge", "item", &trashed.item);
    Ok(html! {
        h1 { "Purge of " (trashed.agent_prefix) ": at the service's next sweep" }
        p { a href="../trash" { "To the trash" } }
    })
}
