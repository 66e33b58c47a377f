//! One job: what happened, why it failed, and what to do.

use axum::Extension;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::parts::{encoded, fact, job_state, time};
use crate::console::Shared;
use crate::console::actions::Action;
use crate::console::visit::Visit;
use crate::operations;
use crate::operations::activity::{self, Filter, PersonsAction};
use crate::operations::jobs::{self, Attempt, Cause, JobView, Shown, State};
use crate::telemetry::Printable;

/// Actions that are told of a job.
const ACTIONS: i64 = 100;

pub(in crate::console) async fn show(
    Path(id): Path<String>,
    Extension(visit): Extension<Visit>,
) -> Response {
    let Ok(id) = id.parse() else {
        return visit.error(StatusCode::NOT_FOUND, "A job has a number.");
    };
    let page = page(&visit, id).await;
    visit.show(&format!("Job {id}"), page).await
}

async fn page(visit: &Visit, id: i64) -> Result<Markup, operations::Error> {
    let Shown { job, history, next } = look(visit, id).await?;
    let of_job = Filter { job: Some(id), ..Filter::default() };
    let done = activity::list(&visit.shared.instance, &of_job, ACTIONS).await?;
    Ok(html! {
        h1 { "Job " (id) ": " (job.kind) " of " (job.agent_prefix) ", " (job_state(id, job.state.as_str())) }
        p.note data-changed hidden role="status" { "It has changed. " a href="" { "Load the page again" } }
        p { (next) }
        @if visit.viewer.may_act() {
            div.actions {
                @for action in Action::for_state(job.state) {
                    a.button href={ "act?action=" (action.name) "&id=" (id) } { (action.label) }
                }
            }
        }
        (error(&job.cause))
        h2 { "Timeline" }
        (timeline(&job, &history, &done))
        h2 { "Facts" }
        (facts(&job, &visit.root))
        p { "A command that shows the same:" } pre { "agent-provisioner jobs show " (id) }
    })
}

/// What stands in the way of a dead job only the service's role can see: without it there is no statement that ends it.
async fn look(visit: &Visit, id: i64) -> Result<Shown, operations::Error> {
    let Shared { instance, service, .. } = &*visit.shared;
    let own = jobs::show(instance, id).await?;
    if own.job.state != State::Dead {
        return Ok(own);
    }
    Ok(service.look(|service| jobs::show(service, id)).await.unwrap_or(own))
}

/// The last failure in its parts.
fn error(cause: &Cause) -> Markup {
    let place = match (&cause.file, cause.line) {
        (Some(file), Some(line)) => Some(format!("{file}, line {line}")),
        (file, _) => file.clone(),
    };
    html! {
        @if let Some(text) = &cause.error {
            h2 { "Last error" }
            pre { (text) }
            dl.card {
                (fact("SQLSTATE", cause.sqlstate.as_deref()))
                (fact("code", cause.error_code.as_deref()))
                (fact("template", place.as_deref()))
                (fact("statement", cause.statement.as_deref()))
                (fact("detail", cause.detail.as_deref()))
                (fact("hint", cause.hint.as_deref()))
                @if !cause.relations.is_empty() { (fact("about", Some(&cause.relations.join(", ")))) }
            }
        }
    }
}

/// What happened, in its order. What a person has done is told with the reason.
fn timeline(job: &JobView, history: &[Attempt], done: &[PersonsAction]) -> Markup {
    let mut events: Vec<(&str, Markup)> = Vec::new();
    let created = job.created_at.as_deref();
    events.push((
        created.unwrap_or_default(),
        event(created, "queued", job.requested_by.as_deref(), None),
    ));
    for attempt in history {
        events.push((attempt.ended_at.as_deref().unwrap_or_default(), tried(attempt)));
    }
    for action in done {
        let row = event(
            Some(&action.done_at),
            &action.action,
            Some(&action.done_by),
            action.reason.as_deref(),
        );
        events.push((&action.done_at, row));
    }
    // The action tells it, unless its words are others or it is not known any more.
    let is_told = |at: &str| {
        done.iter()
            .any(|action| action.done_at.as_str() >= at && action.reason == job.replay_reason)
    };
    if let Some(at) = job.replayed_at.as_deref().filter(|at| !is_told(at)) {
        let (by, why) = (job.replayed_by.as_deref(), job.replay_reason.as_deref());
        events.push((at, event(Some(at), "replayed", by, why)));
    }
    if let Some(at) = job.finished_at.as_deref() {
        events.push((at, event(Some(at), job.state.as_str(), None, job.outcome.as_deref())));
    }
    // What is first at the same moment stays first.
    events.sort_by_key(|(at, _)| *at);
    html! {
        div.scroll { table {
            thead { tr { th { "When" } th { "What" } th { "By" } th.number { "ms" } th { "More" } } }
            tbody { @for (_, row) in &events { (row) } }
        } }
    }
}

fn event(at: Option<&str>, what: &str, by: Option<&str>, more: Option<&str>) -> Markup {
    html! {
        tr { td { (time(at)) } td { (what) } td { @if let Some(by) = by { (Printable(by)) } } td {} td.long { @if let Some(more) = more { (Printable(more)) } } }
    }
}

fn tried(attempt: &Attempt) -> Markup {
    let times =
        if attempt.times > 1 { format!(", {} times", attempt.times) } else { String::new() };
    let by = attempt
        .host
        .as_ref()
        .map(|host| format!("{host}, process {}", attempt.pid.unwrap_or_default()));
    let more = attempt.error.as_deref().or(attempt.outcome.as_deref());
    html! {
        tr {
            td { (time(attempt.ended_at.as_deref())) }
            td { "attempt " (attempt.number) ": " (attempt.result.replace('_', " ")) (times) }
            td { @if let Some(by) = by { (by) } }
            td.number { @if let Some(ms) = attempt.duration_ms { (ms) } }
            td.long { @if let Some(more) = more { (more) } }
        }
    }
}

fn facts(job: &JobView, root: &str) -> Markup {
    let yes = |is: bool| is.then_some("yes");
    html! {
        dl.card {
            dt { "agent" }
            dd { a href={ (root) "agents/" (encoded(&job.agent_prefix)) } { (job.agent_prefix) } " (" (job.agent_id) ")" }
            dt { "due" } dd { (time(job.run_at.as_deref())) }
            dt { "failed attempts" } dd { (job.attempts) }
            @if job.give_ways > 0 { dt { "gave way" } dd { (job.give_ways) " times" } }
            @if let Some(earlier) = &job.waits_for {
                dt { "waits for" }
                dd { a href={ (root) "jobs/" (earlier.id) } { "job " (earlier.id) } ", " (earlier.state.as_str()) }
            }
            @if let Some(running) = &job.running { dt { "runs on" } dd { "backend " (running.pid) } }
            @for holder in &job.blocked_by { dt { "held up by" } dd { (holder) ". To end it: " code { (holder.way_out) } } }
            (fact("waits for a lock", job.lock_wanted.as_deref()))
            (fact("unreported", yes(job.unreported)))
            (fact("approved", yes(job.deletion_confirmed)))
            (fact("takes away differences", yes(job.force)))
            (fact("to be tied to agents by", job.reference.as_deref()))
            @if let Some(version) = job.template_version { dt { "templates up to" } dd { (version) } }
        }
    }
}
