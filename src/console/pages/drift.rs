//! Agents that are not as their templates make them, by what is different.

use axum::Extension;
use axum::response::Response;
use maud::{Markup, html};

use super::parts::{encoded, old, state};
use crate::console::drift_actions::MOST;
use crate::console::snapshot::Snapshot;
use crate::console::visit::Visit;
use crate::operations;
use crate::operations::drift::{self, GROUPS, Group};
use crate::operations::status::Queue;

/// The part of the page that follows what goes on.
pub(in crate::console) const PART: &str = "drifted";

pub(in crate::console) async fn show(Extension(visit): Extension<Visit>) -> Response {
    let seen = visit.shared.snapshots.latest(&visit.shared.instance).await;
    match &*seen {
        Ok(snapshot) => {
            let page = page(&visit, snapshot).await;
            visit.show("Drift", page).await
        }
        Err(error) => visit.troubled(error).await,
    }
}

async fn page(visit: &Visit, snapshot: &Snapshot) -> Result<Markup, operations::Error> {
    let prefix = visit.query.get("prefix");
    let groups = drift::groups(&visit.shared.instance, prefix).await?;
    let queue = &snapshot.status.queue;
    Ok(html! {
        h1 { "Drift" }
        p data-part=(PART) { (differing(queue)) }
        p.note data-changed hidden role="status" { "That number has changed. " a href="" { "Load the page again" } }
        p {
            @match queue.verify_age {
                Some(age) => { "The service began to compare all agents " (old(Some(age))) " ago." }
                None => "The service has not compared all agents yet.",
            }
        }
        @if queue.displaced > 0 {
            p.note { (queue.displaced) " agents have tables that were renamed or moved: " a href={ (visit.root) "agents?state=renamed" } { "these" } }
        }
        form.filters method="get" action="drift" {
            label { "Part of the prefix" input name="prefix" type="search" value=(prefix.unwrap_or_default()); }
            button { "Show" }
        }
        @if groups.is_empty() { p { "No agent is known to differ." } }
        @for group in &groups { (difference(group, visit)) }
        @if groups.len() == GROUPS { p.dim { "There may be more: these are the " (GROUPS) " most frequent ones." } }
        (behind(snapshot, visit))
        p { "A command that compares agents now:" } pre { "agent-provisioner agents verify" }
    })
}

/// What the script replaces while it goes on.
pub(in crate::console) fn differing(queue: &Queue) -> Markup {
    html! {
        @if queue.drifted == 1 { "1 agent" } @else { (queue.drifted) " agents" } " differed when they were last compared."
    }
}

/// What is different, and the agents of which that is so.
fn difference(group: &Group, visit: &Visit) -> Markup {
    let root = &visit.root;
    let more = group.agents - i64::try_from(group.prefixes.len()).unwrap_or_default();
    html! {
        details.card {
            summary {
                @match &group.difference {
                    Some([change, kind, object]) => { (state(change)) " " (kind) " " code { (object) } }
                    None => "It was not written down in what",
                }
                ": " (group.agents) @if group.agents == 1 { " agent" } @else { " agents" }
            }
            p.dim { "Since " (old(group.since_age)) " at the longest. Last seen so " (old(group.compared_age)) " ago, or later." }
            @if visit.viewer.may_act() {
                form method="get" action="drift/act" {
                    input type="hidden" name="action" value="repair";
                    ul.choices {
                        @for prefix in &group.prefixes {
                            li {
                                input type="checkbox" name="prefix" value=(prefix) aria-label={ "Choose " (prefix) };
                                " " a href={ (root) "agents/" (encoded(prefix)) } { (prefix) }
                            }
                        }
                    }
                    div.actions { button { "Show the repair of the chosen ones" } span.dim { "at most " (MOST) } }
                }
            } @else {
                ul.choices { @for prefix in &group.prefixes { li { a href={ (root) "agents/" (encoded(prefix)) } { (prefix) } } } }
            }
            @if more > 0 { p.dim { "And " (more) " more." } }
        }
    }
}

/// Agents that lack template files: no difference, and brought up by a rollout.
fn behind(snapshot: &Snapshot, visit: &Visit) -> Markup {
    let queue = &snapshot.status.queue;
    let newest = queue.newest_template;
    let behind = || {
        queue.templates.iter().filter(move |of| newest.is_some_and(|newest| of.version < newest))
    };
    html! {
        @if behind().next().is_some() {
            h2 { "Behind the templates" }
            @for of in behind() { p { (of.agents) " agents at version " (of.version) " of " (newest.unwrap_or_default()) } }
            @if visit.viewer.may_act() {
                div.actions { a.button href={ (visit.root) "rollouts/act?action=start" } { "Start a rollout" } }
            }
        }
    }
}
