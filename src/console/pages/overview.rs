//! The first page: what goes on, and what needs a person.

use axum::Extension;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::chart;
use super::layout;
use super::parts::{counted, fact, job_state, old, state};
use crate::console::snapshot::Snapshot;
use crate::console::visit::Visit;
use crate::operations::status::{Connected, Queue};

/// Blocked prefixes that are named: after an outage all agents may be.
const BLOCKED: usize = 20;

pub(in crate::console) async fn show(Extension(visit): Extension<Visit>) -> Response {
    let seen = visit.shared.snapshots.latest(&visit.shared.instance).await;
    let snapshot = match &*seen {
        Ok(snapshot) => snapshot,
        Err(error) => return visit.troubled(error).await,
    };
    let body = html! {
        h1 { "Overview" }
        @for (name, part) in parts(snapshot, &visit.root) {
            section data-part=(name) { (part) }
        }
    };
    layout::page(&visit, StatusCode::OK, "Overview", &body)
}

/// What the script replaces while it goes on. No part holds a form.
pub(in crate::console) fn parts(snapshot: &Snapshot, root: &str) -> [(&'static str, Markup); 7] {
    let queue = &snapshot.status.queue;
    [
        ("problems", problems(snapshot)),
        ("tiles", tiles(queue, root)),
        (
            "throughput",
            html! { h2 { "Throughput" } div.card { (chart::throughput(&snapshot.recent.minutes)) } },
        ),
        ("running", running(queue, root)),
        ("blocked", blocked(queue, root)),
        ("workers", workers(queue)),
        ("facts", facts(snapshot)),
    ]
}

/// Only what is wrong: a healthy database shows nothing here.
fn problems(snapshot: &Snapshot) -> Markup {
    let (queue, holders) = (&snapshot.status.queue, &snapshot.status.lock_holders);
    let current = || queue.instances.iter().filter(|instance| instance.running);
    html! {
        @if current().next().is_none() {
            p.problem role="alert" { "No worker is connected. To start one: " code { "systemctl start agent-provisioner" } }
        }
        @if let Some(why) = &queue.read_only { p.problem role="alert" { "The server takes no writes: " (why) } }
        @for deaf in current().filter(|instance| instance.listening == Some(false)) {
            p.problem role="alert" { "The worker on " (deaf.host) " hears no notifications, and polls." }
        }
        @if queue.trash.held {
            p.problem role="alert" { "Nothing is purged from the trash: " code { "agent-provisioner agents purge --resume" } }
        }
        @for holder in holders {
            p.problem role="alert" { "Jobs are held up by " (holder) ". To end it: " code { (holder.way_out) } }
        }
    }
}

fn tiles(queue: &Queue, root: &str) -> Markup {
    let hour = &queue.last_hour;
    let seconds =
        |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2} s"));
    html! {
        ul.tiles {
            @for jobs in &queue.jobs {
                li {
                    a href={ (root) "jobs?state=" (jobs.state) } { (state(&jobs.state)) }
                    b { (jobs.count) }
                    small { @if jobs.count > 0 { "oldest: " (old(jobs.oldest_age)) } @else { "none" } }
                }
            }
            li { "done in 1 h" b { (hour.succeeded) } small { (hour.provisioned) " agents built" } }
            li { "INSERT to ready" b { (seconds(hour.ready_p50)) } small { "99 %: " (seconds(hour.ready_p99)) } }
        }
    }
}

fn running(queue: &Queue, root: &str) -> Markup {
    html! {
        @if !queue.running.is_empty() {
            h2 { "What workers do" }
            div.scroll { table {
                thead { tr { th.number { "Job" } th { "State" } th { "Kind" } th { "Prefix" } th.number { "Backend" } th { "For" } th { "Waits for" } } }
                tbody {
                    @for job in &queue.running {
                        tr {
                            td.number { a href={ (root) "jobs/" (job.id) } { (job.id) } }
                            td { (job_state(job.id, "running")) }
                            td { (job.kind) } td { (job.prefix) }
                            td.number { (job.backend_pid) } td { (old(job.age)) }
                            td { @for pid in &job.waits_for { "backend " (pid) " " } }
                        }
                    }
                }
            } }
        }
    }
}

fn blocked(queue: &Queue, root: &str) -> Markup {
    html! {
        @if !queue.blocked.is_empty() {
            h2 { "Blocked prefixes" }
            div.scroll { table {
                thead { tr { th { "Prefix" } th.number { "By job" } th { "State" } th { "Kind" } th.number { "Jobs behind it" } } }
                tbody {
                    @for blocking in queue.blocked.iter().take(BLOCKED) {
                        tr {
                            td { (blocking.prefix) }
                            td.number { a href={ (root) "jobs/" (blocking.job) } { (blocking.job) } }
                            td { (state(&blocking.state)) } td { (blocking.kind) } td.number { (blocking.waiting) }
                        }
                    }
                }
            } }
            @if queue.blocked.len() > BLOCKED {
                p.dim { "And " (queue.blocked.len() - BLOCKED) " more, behind " a href={ (root) "jobs?state=dead&state=paused" } { "dead and paused jobs" } }
            }
        }
    }
}

fn workers(queue: &Queue) -> Markup {
    html! {
        @if !queue.instances.is_empty() {
            h2 { "Workers" }
            div.scroll { table {
                thead { tr { th { "Host" } th.number { "Process" } th { "Version" } th { "Since" } th title="Whether the database's notifications reach it. Without them it looks for jobs every few seconds." { "Notified" }
                    th title="A sweep compares all agents with the registry." { "Last sweep" }
                    th.number title="Agents without tables, and tables without their agent, that nobody had reported." { "Found by sweeps" } } }
                tbody { @for instance in &queue.instances { (worker(instance)) } }
            } }
        }
    }
}

fn worker(instance: &Connected) -> Markup {
    let found =
        instance.found_missing.unwrap_or_default() + instance.found_orphaned.unwrap_or_default();
    html! {
        tr {
            td { (instance.host) } td.number { (instance.pid) } td { (instance.version) }
            td { @if instance.running { (old(instance.started_age)) } @else { "gone: last seen " (old(instance.seen_age)) " ago" } }
            td { @match instance.listening { Some(true) => "yes", Some(false) => "no, it polls", None => "–" } }
            td {
                @match (instance.sweep_age, instance.sweeps_failed) {
                    (Some(seconds), _) => { (old(Some(seconds))) " ago" }
                    (None, Some(1..)) => "failed",
                    (None, _) => "–",
                }
            }
            td.number { (found) }
        }
    }
}

fn facts(snapshot: &Snapshot) -> Markup {
    let queue = &snapshot.status.queue;
    let compared = queue
        .verify_age
        .map_or_else(|| "never".to_owned(), |seconds| format!("{} ago", old(Some(seconds))));
    let newest = queue.newest_template;
    html! {
        h2 { "Database" }
        dl.card {
            (fact("database", Some(&snapshot.status.database)))
            (fact("server", Some(&format!("PostgreSQL {}", queue.server_version))))
            dt { "templates" }
            dd {
                @for of in &queue.templates {
                    (counted(&of.agents.to_string(), "agent")) " at version " (of.version)
                    @if newest.is_some_and(|newest| of.version < newest) { " (behind)" } br;
                }
                @if queue.templates.is_empty() { "no agents" }
            }
            dt { "drift" }
            dd { (queue.drifted) " agents differ, " (queue.displaced) " have renamed tables; compared: " (compared) }
            dt { "trash" }
            dd {
                (queue.trash.agents) " agents"
                @if let Some(next) = queue.trash.next_purge { "; the next is purged in " (old(Some(next))) }
            }
        }
    }
}
