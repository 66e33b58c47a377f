//! What would keep the service from working, and what somebody has accepted of that.

use axum::Extension;
use axum::response::Response;
use maud::{Markup, html};

use super::parts::{encoded, old, state, time};
use crate::console::snapshot::Findings;
use crate::console::visit::Visit;
use crate::operations;
use crate::operations::doctor::{self, Acceptance, Finding, Severity};

/// What is looked at last: without it the look has ended early.
const LAST: &str = "notifications";

pub(in crate::console) async fn show(Extension(visit): Extension<Visit>) -> Response {
    let shared = &visit.shared;
    match &*shared.snapshots.findings(&shared.service).await {
        Ok(findings) => {
            let page = page(&visit, findings).await;
            visit.show("Doctor", page).await
        }
        Err(error) => visit.troubled(error).await,
    }
}

async fn page(visit: &Visit, findings: &Findings) -> Result<Markup, operations::Error> {
    // Where the database lets nobody in, the findings are what there is to say.
    let accepted = doctor::accepted(&visit.shared.instance).await;
    let with = |severity| {
        let is_open =
            move |finding: &&Finding| finding.severity == severity && finding.accepted.is_none();
        findings.all.iter().filter(is_open)
    };
    let bad = with(Severity::Failure).chain(with(Severity::Warning));
    let may_act = visit.viewer.may_act();
    Ok(html! {
        h1 { "Doctor" }
        p { "Looked at " (old(Some(findings.age()))) " ago, with the role and the settings of the service. It looks at most once a minute." }
        @if findings.all.iter().all(|finding| finding.what != LAST) {
            p.problem role="alert" { "Not everything was looked at: the failure below ended the look." }
        }
        @if bad.clone().next().is_none() { p { "Nothing is wrong that was looked at." } }
        @for finding in bad { (shown(finding, may_act)) }
        (accepted_ones(&findings.all))
        details {
            summary { "As it should be: " (with(Severity::Ok).count()) }
            div.scroll { table {
                thead { tr { th { "What" } th { "Found" } } }
                tbody { @for finding in with(Severity::Ok) { tr { td { (finding.what) } td.long { (finding.found) } } } }
            } }
        }
        @if let Ok(accepted) = &accepted { (acceptances(accepted, may_act)) }
        p { "What each of them means: docs/operate.md, \u{201c}Doctor finds something\u{201d}." }
        p { "Not looked at here: agents, which the page of drift shows, and what only the owner of schema "
            code { "provisioning" } " may see." }
        p { "A command that shows the same:" } pre { "agent-provisioner doctor" }
    })
}

pub(in crate::console) fn shown(finding: &Finding, may_act: bool) -> Markup {
    html! {
        div.card {
            h2 { (finding.what) ": " (state(severity(finding.severity))) }
            p { (finding.found) }
            @if let Some(fix) = &finding.fix { p { "To fix it:" } pre { (fix) } }
            p.dim { "Key: " code { (finding.key) } }
            @if may_act {
                div.actions { a.button href={ "doctor/act?action=accept&key=" (encoded(&finding.key)) } { "Accept" } }
            }
        }
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Ok => "ok",
        Severity::Warning => "warning",
        Severity::Failure => "failure",
    }
}

/// Findings that there are, and that are no failure since somebody has accepted them.
fn accepted_ones(findings: &[Finding]) -> Markup {
    let accepted = || findings.iter().filter(|finding| finding.accepted.is_some());
    html! {
        @if accepted().next().is_some() {
            details {
                summary { "Accepted: " (accepted().count()) }
                @for finding in accepted() { (shown(finding, false)) }
            }
        }
    }
}

fn acceptances(accepted: &[Acceptance], may_act: bool) -> Markup {
    html! {
        @if !accepted.is_empty() {
            h2 { "What was accepted" }
            div.scroll { table {
                thead { tr { th { "Key" } th { "Why" } th { "By" } th { "Since" } th { "Until" } @if may_act { th { "Take back" } } } }
                tbody {
                    @for one in accepted {
                        tr {
                            td.long { (one.key) } td.long { (one.reason) } td { (one.accepted_by) }
                            td { (time(Some(&one.accepted_at))) }
                            td { @match &one.until { Some(day) => (day), None => "for good" } @if !one.holds { ", over" } }
                            @if may_act {
                                td { a.button href={ "doctor/act?action=withdraw&key=" (encoded(&one.key)) } { "Withdraw" } }
                            }
                        }
                    }
                }
            } }
        }
    }
}
