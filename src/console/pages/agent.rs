//! What stands for one prefix.

use axum::Extension;
use axum::extract::Path;
use axum::response::Response;
use maud::{Markup, html};

use super::parts::{encoded, fact, job_heads, job_row, state, time};
use crate::console::visit::Visit;
use crate::operations;
use crate::operations::agents::{self, Shown, Table};
use crate::operations::jobs::{self, Filter, JobView, Sort};

/// Jobs that are shown.
const JOBS: i64 = 20;

pub(in crate::console) async fn show(
    Path(prefix): Path<String>,
    Extension(visit): Extension<Visit>,
) -> Response {
    let page = page(&visit, &prefix).await;
    visit.show(&format!("Agent {prefix}"), page)
}

async fn page(visit: &Visit, prefix: &str) -> Result<Markup, operations::Error> {
    let instance = &visit.shared.instance;
    // A filter would take it for a pattern.
    if prefix.contains(['*', '?']) {
        return Err(operations::Error::NoAgent(prefix.to_owned()));
    }
    let filter = Filter {
        prefix: Some(prefix.to_owned()),
        sort: Sort::Newest,
        limit: Some(JOBS),
        ..Filter::default()
    };
    let listed = jobs::list(instance, &filter).await?;
    // What is gone may have left nothing but its jobs.
    let shown = match agents::show(instance, prefix).await {
        Err(operations::Error::NoAgent(_)) if !listed.jobs.is_empty() => Vec::new(),
        shown => shown?,
    };
    Ok(html! {
        h1 { "Agent " (prefix) }
        @if shown.is_empty() { p { "No agent has this prefix now." } }
        @for shown in &shown { (agent(shown, visit.viewer.may_act())) }
        h2 { "Jobs" }
        (its_jobs(&listed.jobs, &visit.root))
        p { "A command that shows the same:" } pre { "agent-provisioner agents show " (prefix) }
    })
}

fn agent(Shown { agent, tables }: &Shown, may_act: bool) -> Markup {
    html! {
        dl.card {
            dt { "state" } dd { (state(&agent.state)) }
            dt { "id" } dd { (agent.id) @if !agent.alive { ", no longer in public.agents" } }
            @if let Some(version) = agent.template_version { dt { "templates" } dd { "version " (version) } }
            (fact("reference", agent.reference.as_deref()))
            dt { "built" } dd { (time(agent.provisioned_at.as_deref())) }
            dt { "differs since" } dd { (time(agent.drifted_since.as_deref())) }
        }
        @if agent.drifted_since.is_some() {
            p.note { "It differs from its templates: " a href={ "../drift?prefix=" (encoded(&agent.prefix)) } { "in what" } }
        }
        @if may_act {
            div.actions {
                @if agent.drifted_since.is_some() {
                    a.button href={ "../drift/act?action=repair&prefix=" (encoded(&agent.prefix)) } { "Repair" }
                }
                @if agent.alive && agent.template_version.is_some() {
                    a.button href={ "../rollouts/act?action=start&prefix=" (encoded(&agent.prefix)) } { "Upgrade" }
                }
            }
        }
        @if agent.key_removed { p.note { "A deletion has taken its foreign key off, and is not done." } }
        h2 { "Tables" }
        div.scroll { table {
            thead { tr { th { "Table" } th { "There" } th.number { "kB" } th.number { "Rows (estimate)" } } }
            tbody { @for table in tables { (table_row(table)) } }
        } }
    }
}

fn table_row(table: &Table) -> Markup {
    html! {
        tr {
            td { (table.name) }
            td {
                @match (&table.displacement, table.present) {
                    (Some(displacement), _) => (displacement),
                    (None, true) => "yes",
                    (None, false) => "gone",
                }
            }
            td.number { @if let Some(bytes) = table.bytes { (bytes / 1024) } @else { "–" } }
            td.number { @if let Some(rows) = table.rows { (rows) } @else { "–" } }
        }
    }
}

fn its_jobs(jobs: &[JobView], root: &str) -> Markup {
    html! {
        @if jobs.is_empty() { p { "No jobs." } } @else {
            div.scroll { table {
                thead { (job_heads(false)) }
                tbody { @for job in jobs { (job_row(job, root, false)) } }
            } }
        }
    }
}
