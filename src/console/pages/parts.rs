//! Small pieces that several pages share.

use maud::{Markup, html};

use crate::queue::admin::{JobView, State};
use crate::telemetry::{Printable, age};

/// A state in its colour; the script keeps that of a job up to date.
pub(super) fn job_state(id: i64, state: &str) -> Markup {
    html! { span class={ "state state-" (state) } data-job=(id) { (state) } }
}

/// A state in its colour.
pub(in crate::console) fn state(state: &str) -> Markup {
    html! { span class={ "state state-" (state) } { (state) } }
}

/// What the state of an agent means, where its word does not say it.
pub(super) fn meaning(state: &str) -> Option<&'static str> {
    Some(match state {
        "pending" => "the tables are being built, or wait",
        "waiting" => "it has been due for a minute, and no worker runs",
        "blocked" => "another job of the prefix is dead or paused, and comes first",
        "cancelled" => "an operator cancelled the build",
        "failed" => "the build or the deletion is a dead job",
        "deleting" => "the agent is being deleted",
        "paused" => "its deletion waits for an operator",
        "kept" => "its row is gone from agents, and its deletion was cancelled: the tables stay",
        "orphaned" => {
            "its row is gone from agents, and nobody has asked for the deletion of the tables"
        }
        "renamed" => "somebody renamed or moved a table",
        "drifted" => "the tables differed from the templates when they were last compared",
        _ => return None,
    })
}

/// So many of them.
pub(super) fn counted(number: &str, noun: &str) -> String {
    if number == "1" { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A point in time as the database has it.
pub(in crate::console) fn time(at: Option<&str>) -> Markup {
    html! {
        @match at {
            Some("infinity") => { "never" }
            Some(at) => { time datetime=(at) { (at.get(..19).unwrap_or(at).replace('T', " ")) " UTC" } }
            None => { "–" }
        }
    }
}

/// An age in seconds, or a dash.
pub(in crate::console) fn old(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "–".to_owned(), age)
}

/// Rounded up: something is no nothing.
pub(super) fn kilobytes(bytes: i64) -> i64 {
    bytes / 1024 + i64::from(bytes % 1024 != 0)
}

/// A term and what it is; nothing where there is nothing.
pub(super) fn fact(term: &str, text: Option<&str>) -> Markup {
    html! { @if let Some(text) = text { dt { (term) } dd { (text) } } }
}

/// A count, of which more than so many were not counted.
pub(super) fn capped(count: i64, most: i64) -> String {
    if count < most { count.to_string() } else { format!("{most}+") }
}

/// The rows of a list of jobs, with a box to choose each.
pub(super) fn job_row(job: &JobView, root: &str, choose: bool) -> Markup {
    html! {
        tr {
            @if choose {
                td { input type="checkbox" name="id" value=(job.id) aria-label={ "Choose job " (job.id) }; }
            }
            td.number { a href={ (root) "jobs/" (job.id) } { (job.id) } }
            td { (job_state(job.id, job.state.as_str())) }
            td { (job.kind) }
            td { a href={ (root) "agents/" (encoded(&job.agent_prefix)) } { (job.agent_prefix) } }
            td.number { (job.attempts) }
            td { (old(job.age_seconds)) }
            td.long { (Printable(note(job))) }
        }
    }
}

/// The heads of those rows.
pub(super) fn job_heads(choose: bool) -> Markup {
    html! {
        tr {
            @if choose { th { span.skip { "Choose" } } }
            th.number { "Job" } th { "State" } th { "Kind" } th { "Prefix" } th.number { "Failed" } th { "Age" } th { "Note" }
        }
    }
}

/// What matters about a job in its state.
fn note(job: &JobView) -> String {
    let first_line = |text: &Option<String>| {
        text.as_deref().and_then(|text| text.lines().next()).unwrap_or_default().to_owned()
    };
    match job.state {
        State::Dead | State::Paused => first_line(&job.cause.error),
        State::Cancelled | State::Succeeded => first_line(&job.outcome),
        State::Running => job
            .lock_wanted
            .as_ref()
            .map_or_else(String::new, |lock| format!("waits for a lock: {lock}")),
        State::Pending => match &job.waits_for {
            Some(earlier) => {
                format!("waits for job {}, which is {}", earlier.id, earlier.state.as_str())
            }
            None if job.untaken => "no worker takes it".to_owned(),
            None if job.attempts > 0 => first_line(&job.cause.error),
            None => String::new(),
        },
    }
}

/// As a part of a path.
pub(in crate::console) fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
