//! Repairs: the SQL is shown first, and then exactly that runs, or nothing.

use std::fmt::Write as _;

use axum::Extension;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::confirm;
use super::form::Fields;
use super::pages::parts::{encoded, state};
use super::reason;
use super::visit::Visit;
use crate::agent::Prefix;
use crate::operations;
use crate::operations::repair::{self, Plan};
use crate::operations::verify;

/// Agents whose repairs a page shows.
pub(super) const MOST: usize = 20;

const REPAIR: &str = "repair";

/// Compares the agents again, which needs no reason: it changes nothing but what is known of them.
const COMPARE: &str = "compare";

/// The agents whose repair is asked for.
fn agents(fields: &Fields, action: &str) -> Result<Vec<Prefix>, String> {
    if fields.get("action") != Some(action) {
        return Err("There is no such action.".to_owned());
    }
    let mut prefixes: Vec<Prefix> = Vec::new();
    for text in fields.all("prefix") {
        let prefix = text.parse().map_err(|error| format!("{error}"))?;
        if !prefixes.contains(&prefix) {
            prefixes.push(prefix);
        }
    }
    match prefixes.len() {
        0 => Err("Choose an agent first.".to_owned()),
        1..=MOST => Ok(prefixes),
        _ => Err(format!("Choose at most {MOST} agents at a time.")),
    }
}

/// Shows what a repair would run, and asks for a reason.
pub(super) async fn preview(Extension(visit): Extension<Visit>) -> Response {
    let prefixes = match agents(&visit.query, REPAIR) {
        Ok(prefixes) => prefixes,
        Err(problem) => return visit.error(StatusCode::BAD_REQUEST, &problem),
    };
    let service = &visit.shared.service;
    let plans = service.look(|service| repair::plan(service, &prefixes, false)).await;
    visit.show("Repair", plans.map(|plans| confirm(&plans))).await
}

fn confirm(plans: &[Plan]) -> Markup {
    let some = || plans.iter().filter(|plan| does_something(plan));
    let number = some().count();
    let mut fields = vec![("action", "repair".to_owned())];
    let mut command = "agent-provisioner agents repair".to_owned();
    for Plan { prefix, checksum, .. } in some() {
        fields.extend([("prefix", prefix.clone()), ("plan", checksum.clone())]);
        let _whole = write!(command, " {prefix}");
    }
    let checksums: Vec<&str> = some().map(|plan| plan.checksum.as_str()).collect();
    let _whole = write!(command, " --plan {}", checksums.join(","));
    html! {
        h1 { "Repair: " (number) @if number == 1 { " agent" } @else { " agents" } }
        @if plans.is_empty() {
            p { "None of them differs any more." }
        } @else if number == 0 {
            p { "No repair takes away what differs here." }
        }
        @if number == 0 {
            p { a href="../drift" { "To the differences" } }
        } @else {
            p { "A worker runs exactly these statements, or fails where they would be others by then. What is extra or differs stays, where a repair has no safe statement for it." }
        }
        @for plan in plans { (shown(plan)) }
        @if number > 0 {
            (confirm::form(&fields, &format!("Repair {number}"), "../drift"))
            (confirm::command(Some(&command)))
        }
    }
}

fn does_something(plan: &Plan) -> bool {
    !plan.statements.is_empty() || plan.looks_again
}

fn shown(plan: &Plan) -> Markup {
    html! {
        details.card open {
            summary { (plan.prefix) ": " (plan.statements.len()) @if plan.statements.len() == 1 { " statement" } @else { " statements" } }
            @if !plan.statements.is_empty() { pre { @for statement in &plan.statements { (statement) ";\n" } } }
            @if plan.looks_again {
                p.note { "The repair then looks again: it checks keys, and takes from tables that are made again what the templates do not give them." }
            }
            @for left in &plan.left {
                p.note {
                    "It stays: " (left.change) " " (left.kind) " " (left.object)
                    @if let Some(obstacle) = &left.obstacle { " – " (obstacle) }
                    @if let Some(statement) = &left.by_hand { " By hand: " code { (statement) } }
                }
            }
            p.dim { "Checksum: " code { (plan.checksum) } }
        }
    }
}

/// Queues the repairs that were shown, or compares.
pub(super) async fn carry_out(Extension(visit): Extension<Visit>, body: Bytes) -> Response {
    let fields = Fields::parse(&body);
    if let Ok(prefixes) = agents(&fields, COMPARE) {
        let compared = compare(&visit, &prefixes).await;
        return visit.show("Compare", compared).await;
    }
    let prefixes = match agents(&fields, REPAIR) {
        Ok(prefixes) => prefixes,
        Err(problem) => return visit.error(StatusCode::BAD_REQUEST, &problem),
    };
    let shown: Vec<String> = fields.all("plan").map(str::to_owned).collect();
    if shown.is_empty() {
        return visit.error(StatusCode::BAD_REQUEST, "Look at the repair first.");
    }
    let reason = match reason::read(&fields) {
        Ok(reason) => reason,
        Err(problem) => return visit.error(StatusCode::BAD_REQUEST, &problem),
    };
    let done = queue(&visit, &prefixes, &shown, &reason).await;
    visit.show("Repair", done).await
}

async fn queue(
    visit: &Visit,
    prefixes: &[Prefix],
    shown: &[String],
    reason: &str,
) -> Result<Markup, operations::Error> {
    let (actor, instance) = (visit.actor(), &visit.shared.instance);
    let request = visit.shared.service.look(|service| {
        repair::request_shown(&actor, (service, instance), prefixes, shown, reason)
    });
    let (jobs, held_back) = request.await?;
    for job in &jobs {
        visit.tell("repair", "job", job);
    }
    Ok(html! {
        h1 { "Repair: " (jobs.len()) " queued" }
        ul { @for job in &jobs { li { a href={ "../jobs/" (job) } { "Job " (job) } } } }
        @for left in &held_back {
            p.note { "Left out: " (left.prefix) ", which dead " a href={ "../jobs/" (left.job) } { "job " (left.job) } " holds up." }
        }
        @if jobs.is_empty() && held_back.is_empty() { p { "None of them differs any more." } }
        p { a href="../drift" { "To the differences" } }
    })
}

/// With the service's role, which records what it finds.
async fn compare(visit: &Visit, prefixes: &[Prefix]) -> Result<Markup, operations::Error> {
    let report =
        visit.shared.service.look(|service| verify::verify(service, prefixes, false)).await?;
    Ok(html! {
        h1 { "Compared: " (report.compared) @if report.compared == 1 { " agent" } @else { " agents" } }
        @if !report.differing_instances.is_empty() {
            p.problem role="alert" { "Instances that run have other templates or settings: nothing was recorded. See the page of doctor." }
        }
        @if report.drifted.is_empty() { p { "No difference from the templates was found." } }
        @for agent in &report.drifted {
            h2 { a href={ "../agents/" (encoded(&agent.prefix)) } { (agent.prefix) } ": " (agent.differences.len()) " differences" }
            ul {
                @for found in &agent.differences { li { (state(found.change)) " " (found.kind) " " code { (found.object) } } }
            }
        }
        p { @for prefix in prefixes { a href={ "../agents/" (encoded(prefix.as_str())) } { "To " (prefix) } " " } }
    })
}
