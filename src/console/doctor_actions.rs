//! Accepting what doctor has found, and taking that back.

use axum::Extension;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::confirm::{self, word};
use super::form::Fields;
use super::pages::doctor::shown;
use super::reason;
use super::visit::Visit;
use crate::operations;
use crate::operations::doctor::{self, Finding, Severity};

/// What a form or an address asks for, about the finding of a key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Accept,
    Withdraw,
}

impl Action {
    fn read(fields: &Fields) -> Option<(Self, &str)> {
        let action = match fields.get("action")? {
            "accept" => Self::Accept,
            "withdraw" => Self::Withdraw,
            _ => return None,
        };
        Some((action, fields.get("key")?))
    }

    fn fields(self, key: &str) -> [(&'static str, String); 2] {
        [("action", self.name().to_owned()), ("key", key.to_owned())]
    }

    fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Withdraw => "withdraw",
        }
    }
}

const UNKNOWN: &str = "Choose a finding, and what to do about it.";

/// Shows what would be done, and asks for a reason.
pub(super) async fn preview(Extension(visit): Extension<Visit>) -> Response {
    let Some((action, key)) = Action::read(&visit.query) else {
        return visit.error(StatusCode::BAD_REQUEST, UNKNOWN);
    };
    let page = match action {
        Action::Accept => accepting(&visit, key).await,
        Action::Withdraw => Ok(withdrawing(key)),
    };
    visit.show("Doctor's finding", page).await
}

async fn accepting(visit: &Visit, key: &str) -> Result<Markup, operations::Error> {
    let seen = visit.shared.snapshots.findings(&visit.shared.service).await;
    let all: &[Finding] = seen.as_ref().as_ref().map_or(&[], |findings| &findings.all);
    let found: Vec<&Finding> = all
        .iter()
        .filter(|finding| finding.key == key && finding.severity != Severity::Ok)
        .collect();
    if found.is_empty() {
        return Err(operations::Error::NoFinding(key.to_owned()));
    }
    let until = html! {
        p {
            label for="until" { "Until this day; without one for good" } br;
            input id="until" name="until" type="date";
        }
    };
    let command = format!("agent-provisioner doctor accept {} --reason 'why'", word(key));
    Ok(html! {
        h1 { "Accept a finding" }
        p { "It stays in the list and is no failure. It comes back after the day, and where it gets worse." }
        @for finding in found { (shown(finding, false)) }
        (confirm::form_with(&Action::Accept.fields(key), &until, "Accept", "../doctor"))
        (confirm::command(Some(&command)))
    })
}

fn withdrawing(key: &str) -> Markup {
    let command = format!("agent-provisioner doctor withdraw {}", word(key));
    html! {
        h1 { "Accept a finding no more" }
        p { code { (key) } }
        (confirm::form(&Action::Withdraw.fields(key), "Withdraw", "../doctor"))
        (confirm::command(Some(&command)))
    }
}

/// Does it.
pub(super) async fn carry_out(Extension(visit): Extension<Visit>, body: Bytes) -> Response {
    let fields = Fields::parse(&body);
    let Some((action, key)) = Action::read(&fields) else {
        return visit.error(StatusCode::BAD_REQUEST, UNKNOWN);
    };
    let until = fields.get("until");
    if until.is_some_and(|day| !doctor::is_open_day(day)) {
        return visit
            .error(StatusCode::BAD_REQUEST, "Give a day that is not over, such as 2027-03-31.");
    }
    let reason = match reason::read(&fields) {
        Ok(reason) => reason,
        Err(problem) => return visit.error(StatusCode::BAD_REQUEST, &problem),
    };
    let done = match action {
        Action::Accept => accept(&visit, key, &reason, until).await,
        Action::Withdraw => withdraw(&visit, key, &reason).await,
    };
    visit.shared.snapshots.forget_findings().await;
    visit.show("Doctor's finding", done).await
}

async fn accept(
    visit: &Visit,
    key: &str,
    reason: &str,
    until: Option<&str>,
) -> Result<Markup, operations::Error> {
    let shared = &visit.shared;
    let seen = shared.snapshots.findings(&shared.service).await;
    let all: &[Finding] = seen.as_ref().as_ref().map_or(&[], |findings| &findings.all);
    let (actor, instance) = (visit.actor(), &shared.instance);
    let accepted = doctor::accept_found(&actor, instance, all, key, reason, until).await?;
    visit.tell("accept", "finding", &accepted.key);
    Ok(done("Accepted", &accepted.key))
}

async fn withdraw(visit: &Visit, key: &str, reason: &str) -> Result<Markup, operations::Error> {
    let (actor, instance) = (visit.actor(), &visit.shared.instance);
    let withdrawn = doctor::withdraw_for(&actor, instance, key, Some(reason)).await?;
    visit.tell("withdraw", "finding", &withdrawn.key);
    Ok(done("Accepted no more", &withdrawn.key))
}

fn done(title: &str, key: &str) -> Markup {
    html! {
        h1 { (title) }
        p { code { (key) } }
        p { a href="../doctor" { "To the findings" } }
    }
}
