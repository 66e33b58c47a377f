//! Upgrades of many agents: how far they are, and what has stopped them.

use axum::Extension;
use axum::response::Response;
use maud::{Markup, html};

use super::parts::{fact, state, time};
use crate::console::rollout_actions::Action;
use crate::console::visit::Visit;
use crate::operations;
use crate::operations::jobs::Followed;
use crate::operations::rollouts::{self, RolloutView};
use crate::service::Instance;

/// Rollouts that are shown.
const SHOWN: i64 = 50;

/// Failed jobs that are named.
const FAILURES: usize = 50;

/// The newest first.
#[derive(Debug)]
pub(in crate::console) struct Rollouts {
    all: Vec<RolloutView>,
    /// Jobs of the first one.
    failed: Vec<Followed>,
}

impl Rollouts {
    pub(in crate::console) async fn read(instance: &Instance) -> Result<Self, operations::Error> {
        let all = rollouts::list(instance, SHOWN).await?;
        let failed = match all.first() {
            Some(latest) if latest.failed > 0 => rollouts::failures(instance, latest.id).await?,
            Some(_) | None => Vec::new(),
        };
        Ok(Self { all, failed })
    }
}

pub(in crate::console) async fn show(Extension(visit): Extension<Visit>) -> Response {
    let page = Rollouts::read(&visit.shared.instance).await.map(|rollouts| page(&rollouts, &visit));
    visit.show("Rollouts", page).await
}

fn page(rollouts: &Rollouts, visit: &Visit) -> Markup {
    html! {
        h1 { "Rollouts" }
        p { "A rollout brings agents to the templates of the service, some of them first. There is one at a time." }
        @for (name, part) in parts(rollouts, visit) {
            section data-part=(name) { (part) }
        }
        p { "A command that shows the same:" } pre { "agent-provisioner rollouts list" }
    }
}

/// What the script replaces while it goes on, but for a form that is there already.
pub(in crate::console) fn parts(rollouts: &Rollouts, visit: &Visit) -> [(&'static str, Markup); 3] {
    let Rollouts { all, failed } = rollouts;
    let latest = all.first();
    let may_start = visit.viewer.may_act() && latest.is_none_or(RolloutView::has_ended);
    [
        ("rollout", html! { @if let Some(latest) = latest { (newest(latest, failed, visit)) } }),
        ("start", html! { @if may_start { (start()) } }),
        ("rollouts", table(all)),
    ]
}

fn table(all: &[RolloutView]) -> Markup {
    html! {
        @if all.is_empty() { p { "No rollouts." } } @else {
            h2 { "All" }
            div.scroll { table {
                thead { tr { th.number { "Rollout" } th { "State" } th.number { "Templates" } th.number { "Done" } th.number { "Failed" }
                    th.number { "Left" } th { "Started" } th { "By" } th { "Why" } } }
                tbody { @for rollout in all { (row(rollout)) } }
            } }
        }
    }
}

fn newest(rollout: &RolloutView, failed: &[Followed], visit: &Visit) -> Markup {
    let stage = rollout.stage.as_deref().map(|stage| match stage {
        "canary" => "the first agents, before all others",
        _ => "all agents",
    });
    html! {
        h2 { "Rollout " (rollout.id) ": " (state(&rollout.state)) }
        (progress(rollout))
        (troubles(rollout, &visit.root))
        @if visit.viewer.may_act() {
            div.actions {
                @for action in Action::for_state(&rollout.state) {
                    a.button href={ "rollouts/act?action=" (action.name()) "&id=" (rollout.id) } { (action.label()) }
                }
            }
        }
        (failures(failed, &visit.root))
        (facts(rollout, stage))
    }
}

/// How far it is, as a bar and in words.
fn progress(rollout: &RolloutView) -> Markup {
    let ended = rollout.agents - left(rollout);
    html! {
        p {
            progress max=(rollout.agents.max(1)) value=(ended) aria-label="Agents that are done with" {}
            " " (rollout.succeeded) " of " (rollout.agents) " done, " (rollout.failed) " failed, " (left(rollout)) " left"
            @if rollout.cancelled > 0 { ", " (rollout.cancelled) " taken back" }
            @if rollout.gone > 0 { ", " (rollout.gone) " deleted meanwhile" }
        }
    }
}

/// What keeps it from going on.
fn troubles(rollout: &RolloutView, root: &str) -> Markup {
    html! {
        @if rollout.untaken > 0 {
            p.problem role="alert" { "No worker that runs takes these jobs: none has templates of version " (rollout.template_version) "." }
        }
        @if rollout.disk_full > 0 {
            p.problem role="alert" { (rollout.disk_full) " jobs are put off: the server's disk is full." }
        }
        @if let Some(after) = rollout.stopped_after {
            p.problem { "It stopped after " (after) " failed jobs. " a href={ (root) "jobs?kind=upgrade&state=dead" } { "The dead upgrades" } }
        }
    }
}

fn failures(failed: &[Followed], root: &str) -> Markup {
    html! {
        @if !failed.is_empty() {
            details {
                summary { (failed.len()) " failed" }
                div.scroll { table {
                    thead { tr { th.number { "Job" } th { "Error" } } }
                    tbody {
                        @for job in failed.iter().take(FAILURES) {
                            tr {
                                td.number { a href={ (root) "jobs/" (job.id) } { (job.id) } }
                                td.long { @if let Some(error) = &job.error { (error) } @else { "it waits for a dead job of its prefix" } }
                            }
                        }
                    }
                } }
                @if failed.len() > FAILURES { p.dim { "And " (failed.len() - FAILURES) " more." } }
            }
        }
    }
}

fn facts(rollout: &RolloutView, stage: Option<&str>) -> Markup {
    let number = |number: Option<i32>| number.map(|number| number.to_string());
    html! {
        dl.card {
            (fact("at", stage))
            (fact("templates", Some(&rollout.templates)))
            @if rollout.canaries > 0 { dt { "first agents" } dd { (rollout.canaries) } }
            (fact("stops at failures", number(rollout.max_failures).as_deref()))
            (fact("jobs at a time", number(rollout.at_a_time).as_deref()))
            dt { "started" } dd { (time(Some(&rollout.started_at))) " by " (rollout.requested_by) }
            (fact("why", rollout.reason.as_deref()))
            @if let Some(by) = &rollout.changed_by {
                dt { "last changed" } dd { (time(rollout.changed_at.as_deref())) " by " (by) }
            }
            (fact("why", rollout.change_reason.as_deref()))
            @if rollout.has_ended() { dt { "ended" } dd { (time(rollout.ended_at.as_deref())) } }
        }
    }
}

/// Asks what is to be upgraded. The next page shows how many agents that is.
fn start() -> Markup {
    html! {
        h2 { "Start a rollout" }
        form.filters method="get" action="rollouts/act" {
            input type="hidden" name="action" value="start";
            label { "Only these agents, by prefix" input name="prefix" size="20"; }
            label { "First agents" input name="canary" type="number" min="1" size="4"; }
            label { "Stop at failures" input name="max_failures" type="number" min="1" size="4"; }
            label { "Jobs at a time" input name="concurrency" type="number" min="1" size="4"; }
            button { "Show what it would do" }
        }
    }
}

fn left(rollout: &RolloutView) -> i64 {
    rollout.queued + rollout.waiting
}

fn row(rollout: &RolloutView) -> Markup {
    html! {
        tr {
            td.number { (rollout.id) }
            td { (state(&rollout.state)) }
            td.number { (rollout.template_version) }
            td.number { (rollout.succeeded) " of " (rollout.agents) }
            td.number { (rollout.failed) }
            td.number { (left(rollout)) }
            td { (time(Some(&rollout.started_at))) }
            td { (rollout.requested_by) }
            td.long { @if let Some(why) = rollout.change_reason.as_ref().or(rollout.reason.as_ref()) { (why) } }
        }
    }
}
