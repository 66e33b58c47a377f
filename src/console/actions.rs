//! What an operator does to jobs: shown first, then done to exactly the jobs that were shown.
//!
//! A new action is a row of [`ACTIONS`].

use std::fmt::Write as _;

use axum::Extension;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::confirm::{self, quoted};
use super::filter::Asked;
use super::form::Fields;
use super::pages::layout;
use super::reason;
use super::visit::Visit;
use crate::operations;
use crate::operations::jobs::{self, Change, JobResult, Kind, ResultKind, State};
use crate::operations::shown_jobs;

/// Something that an operator can do to jobs.
#[derive(Debug)]
pub(super) struct Action {
    /// In addresses and forms.
    pub(super) name: &'static str,
    /// On its button.
    pub(super) label: &'static str,
    /// What it does.
    about: &'static str,
    /// What has become of a job then.
    done: &'static str,
    /// The states of the jobs that it is for.
    pub(super) from: &'static [State],
    change: Change,
    /// Follows `agent-provisioner jobs`, and does the same.
    command: &'static str,
}

/// All of them.
pub(super) const ACTIONS: [Action; 5] = [
    Action {
        name: "replay",
        label: "Replay",
        about: "Dead jobs go back into the queue, in the places they had. No deletion is approved by that.",
        done: "done: back in the queue",
        from: &[State::Dead],
        change: Change::Replay,
        command: "replay",
    },
    Action {
        name: "retry",
        label: "Retry now",
        about: "Pending jobs are due now instead of later.",
        done: "done: due now",
        from: &[State::Pending],
        change: Change::Replay,
        command: "replay",
    },
    Action {
        name: "cancel",
        label: "Cancel",
        about: "The jobs leave the queue for good. Later jobs of their prefixes are free then.",
        done: "done: cancelled",
        from: &[State::Pending, State::Dead],
        change: Change::Cancel,
        command: "cancel",
    },
    Action {
        name: "approve",
        label: "Approve deletion",
        about: "The paused deletions go through, and the deletion limit does not count them.",
        done: "done: approved",
        from: &[State::Paused],
        change: Change::Approve,
        command: "approve",
    },
    Action {
        name: "refuse",
        label: "Cancel deletion",
        about: "The paused deletions are cancelled. The agents' tables stay.",
        done: "done: cancelled",
        from: &[State::Paused],
        change: Change::Cancel,
        command: "cancel",
    },
];

/// More jobs than that are counted and not named.
const NAMED: usize = 50;

impl Action {
    /// Those for jobs in this state. A running job is a worker's.
    pub(super) fn for_state(state: State) -> impl Iterator<Item = &'static Self> {
        ACTIONS.iter().filter(move |action| action.from.contains(&state))
    }

    fn parse(fields: &Fields) -> Option<&'static Self> {
        let name = fields.get("action")?;
        ACTIONS.iter().find(|action| action.name == name)
    }

    /// The jobs that are meant, of the states that this is for.
    fn choose(&self, mut asked: Asked) -> Asked {
        let filter = &mut asked.filter;
        if filter.states.is_empty() {
            filter.states = self.from.to_vec();
        }
        // Running jobs are pending ones in the table; a worker's is skipped there.
        filter.states.retain(|state| self.from.contains(state));
        (filter.before, filter.limit) = (None, None);
        asked
    }

    /// The command that does the same, where there is one.
    fn command(&self, asked: &Asked, answers: &[JobResult], reason: &str) -> Option<String> {
        let mut command = format!("agent-provisioner jobs {}", self.command);
        let meant: Vec<&JobResult> = jobs::with(answers, ResultKind::DryRun).collect();
        // Whoever names a deletion to the command approves it.
        let approves = |job: &&JobResult| job.kind == Some(Kind::Deprovision);
        if meant.len() <= NAMED {
            if self.change == Change::Replay && meant.iter().any(approves) {
                return None;
            }
            for job in meant {
                let _whole = write!(command, " {}", job.id);
            }
        } else if asked.filter.text.is_some()
            || !asked.filter.ids.is_empty()
            || self.change == Change::Approve
        {
            return None;
        } else {
            let joined = |name: &str| {
                let fields = asked.fields();
                let of_name =
                    fields.iter().filter(|(key, _)| *key == name).map(|(_, value)| value.clone());
                of_name.collect::<Vec<_>>().join(",")
            };
            for name in ["state", "kind", "prefix", "sqlstate", "since"] {
                let value = joined(name);
                if !value.is_empty() {
                    let _whole = write!(command, " --{name}={}", quoted(&value));
                }
            }
        }
        let _whole = write!(command, " --reason {}", quoted(reason));
        Some(command)
    }
}

/// Shows what would be done, and asks for a reason.
pub(super) async fn preview(Extension(visit): Extension<Visit>) -> Response {
    let Some(action) = Action::parse(&visit.query) else { return unknown(&visit) };
    let asked = action.choose(Asked::read(&visit.query));
    if let Some(problem) = refusal(&visit.query, &asked) {
        return visit.error(StatusCode::BAD_REQUEST, &problem);
    }
    let page = confirm(&visit, action, &asked).await;
    visit.show(action.label, page).await
}

/// Why nothing is done.
fn refusal(fields: &Fields, asked: &Asked) -> Option<String> {
    if let Some(problem) = &asked.problem {
        return Some(problem.clone());
    }
    if asked.filter.ids.is_empty() && fields.get("all").is_none() {
        return Some("Choose a job first.".to_owned());
    }
    asked.filter.states.is_empty().then(|| "This is not for jobs in that state.".to_owned())
}

async fn confirm(
    visit: &Visit,
    action: &Action,
    asked: &Asked,
) -> Result<Markup, operations::Error> {
    let (instance, filter) = (&visit.shared.instance, &asked.filter);
    let (answers, shown) =
        shown_jobs::preview(&visit.actor(), instance, action.change, filter).await?;
    let number = jobs::with(&answers, ResultKind::DryRun).count();
    let command = action.command(asked, &answers, "why");
    let mut fields = vec![("action", action.name.to_owned()), ("shown", shown)];
    if filter.ids.is_empty() {
        fields.push(("all", "1".to_owned()));
    }
    fields.extend(asked.fields());
    Ok(html! {
        h1 { (action.label) ": " (number) @if number == 1 { " job" } @else { " jobs" } }
        p { (action.about) }
        (list(&answers, &visit.root, "will be done"))
        (left_out(asked, &answers, action))
        @if number > 0 {
            (confirm::form(&fields, &format!("{} {number}", action.label), &visit.root))
            (confirm::command(command.as_deref()))
        }
    })
}

/// Does it, and answers for each job.
pub(super) async fn carry_out(Extension(visit): Extension<Visit>, body: Bytes) -> Response {
    let fields = Fields::parse(&body);
    let Some(action) = Action::parse(&fields) else { return unknown(&visit) };
    let asked = action.choose(Asked::read(&fields));
    if let Some(problem) = refusal(&fields, &asked) {
        return visit.error(StatusCode::BAD_REQUEST, &problem);
    }
    let reason = match reason::read(&fields) {
        Ok(reason) => reason,
        Err(problem) => return visit.error(StatusCode::BAD_REQUEST, &problem),
    };
    let shown = fields.get("shown").unwrap_or_default();
    let instance = &visit.shared.instance;
    let done = shown_jobs::carry_out(
        &visit.actor(),
        instance,
        action.change,
        &asked.filter,
        shown,
        reason,
    )
    .await;
    match done {
        Ok(answers) => {
            let number = jobs::with(&answers, ResultKind::Done).count();
            tracing::info!(
                action = action.name,
                viewer = visit.viewer.name,
                jobs = number,
                "done in the console"
            );
            let carried = shown_jobs::carried(shown);
            let not_shown = |id: &&i64| carried.as_ref().is_some_and(|shown| !shown.contains(id));
            let left: Vec<String> =
                asked.filter.ids.iter().filter(not_shown).map(ToString::to_string).collect();
            let body = result(&visit, action, &answers, &left);
            layout::page(&visit, StatusCode::OK, action.label, &body)
        }
        Err(error) => visit.failed(&error).await,
    }
}

/// `left`: jobs that were chosen, and that the page before did not offer.
fn result(visit: &Visit, action: &Action, answers: &[JobResult], left: &[String]) -> Markup {
    let number = jobs::with(answers, ResultKind::Done).count();
    html! {
        h1 { (action.label) ": " (number) " done" }
        (list(answers, &visit.root, action.done))
        @if !left.is_empty() {
            p.note { "Skipped: job " (left.join(", ")) " – it was not among those that were shown as to be done." }
        }
        @if number > 0 && action.change != Change::Cancel { p { "The page of each job tells how it goes on." } }
        p { a href={ (visit.root) "jobs" } { "To the jobs" } }
    }
}

fn unknown(visit: &Visit) -> Response {
    visit.error(StatusCode::BAD_REQUEST, "There is no such action.")
}

/// What came of it for each job.
fn list(answers: &[JobResult], root: &str, done: &str) -> Markup {
    html! {
        @if !answers.is_empty() {
            div.scroll { table {
                thead { tr { th.number { "Job" } th { "Kind" } th { "Prefix" } th { "Answer" } } }
                tbody {
                    @for answer in answers.iter().take(NAMED) {
                        tr {
                            td.number { a href={ (root) "jobs/" (answer.id) } { (answer.id) } }
                            td { @if let Some(kind) = answer.kind { (kind) } }
                            td { @if let Some(prefix) = &answer.agent_prefix { (prefix) } }
                            td.long { (said(answer, done)) }
                        }
                    }
                }
            } }
            @if answers.len() > NAMED { p.dim { "And " (answers.len() - NAMED) " more." } }
        }
    }
}

fn said(answer: &JobResult, done: &str) -> String {
    let word = match answer.result {
        ResultKind::Done | ResultKind::DryRun => done,
        ResultKind::Unchanged => "unchanged",
        ResultKind::Skipped => "skipped",
        ResultKind::Missing => "missing",
    };
    let more = [&answer.reason, &answer.next].into_iter().flatten();
    more.fold(word.to_owned(), |text, more| format!("{text}: {more}"))
}

/// Of jobs that were chosen by their boxes: those that this is not for.
fn left_out(asked: &Asked, answers: &[JobResult], action: &Action) -> Markup {
    let answered = |id: &&i64| answers.iter().any(|answer| answer.id == **id);
    let left: Vec<String> =
        asked.filter.ids.iter().filter(|id| !answered(id)).map(ToString::to_string).collect();
    let states: Vec<&str> = action.from.iter().map(|state| state.as_str()).collect();
    html! {
        @if !left.is_empty() {
            p.note { "Skipped: job " (left.join(", ")) " – not " (states.join(" or ")) "." }
        }
    }
}
