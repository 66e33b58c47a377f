//! What stands for one prefix.

use axum::Extension;
use axum::extract::Path;
use axum::response::Response;
use maud::{Markup, html};

use super::parts::{encoded, fact, job_heads, job_row, meaning, old, state, time};
use crate::agent::{AgentId, Prefix};
use crate::console::visit::Visit;
use crate::operations;
use crate::operations::agents::{self, Agent, Shown, Table};
use crate::operations::drift::{self, Known};
use crate::operations::jobs::{self, Filter, JobView, Sort};
use crate::operations::render;
use crate::service::Instance;

/// Jobs that are shown.
const JOBS: i64 = 20;

pub(in crate::console) async fn show(
    Path(prefix): Path<String>,
    Extension(visit): Extension<Visit>,
) -> Response {
    let page = page(&visit, &prefix).await;
    visit.show(&format!("Agent {prefix}"), page).await
}

async fn page(visit: &Visit, prefix: &str) -> Result<Markup, operations::Error> {
    let instance = &visit.shared.instance;
    // A filter would take it for a pattern, and the database has no zero byte in a text.
    if prefix.contains(['*', '?', '\0']) {
        return Err(operations::Error::NoAgent(prefix.to_owned()));
    }
    let filter = Filter {
        prefix: Some(prefix.to_owned()),
        sort: Sort::Newest,
        limit: Some(JOBS),
        ..Filter::default()
    };
    let jobs = jobs::list_uncounted(instance, &filter).await?;
    // What is gone may have left nothing but its jobs.
    let shown = match agents::show(instance, prefix).await {
        Err(operations::Error::NoAgent(_)) if !jobs.is_empty() => Vec::new(),
        shown => shown?,
    };
    let mut known = Vec::with_capacity(shown.len());
    for shown in &shown {
        known.push(drift::of_agent(instance, shown.agent.id).await?);
    }
    Ok(html! {
        h1 { "Agent " (prefix) }
        @if shown.is_empty() { p { "No agent has this prefix now." } }
        @for (shown, known) in shown.iter().zip(&known) { (agent(shown, known.as_ref(), visit.viewer.may_act())) }
        h2 { "Jobs" }
        (its_jobs(&jobs, &visit.root))
        p { "A command that shows the same:" } pre { "agent-provisioner agents show " (prefix) }
    })
}

fn agent(Shown { agent, tables }: &Shown, known: Option<&Known>, may_act: bool) -> Markup {
    let prefix = encoded(&agent.prefix);
    html! {
        dl.card {
            dt { "state" }
            dd { (state(&agent.state)) @if let Some(meaning) = meaning(&agent.state) { ": " (meaning) } }
            dt { "id" } dd { (agent.id) @if !agent.alive { ", no longer in public.agents" } }
            @if let Some(version) = agent.template_version { dt { "templates" } dd { "version " (version) } }
            (fact("tied to agents by", agent.reference.as_deref()))
            dt { "built" } dd { (time(agent.provisioned_at.as_deref())) }
            dt { "differs since" } dd { (time(agent.drifted_since.as_deref())) }
        }
        @if agent.template_version.is_some() { (differences(agent, known)) }
        @if may_act {
            div.actions {
                @if agent.template_version.is_some() {
                    form method="post" action="../drift/act" {
                        input type="hidden" name="action" value="compare";
                        input type="hidden" name="prefix" value=(agent.prefix);
                        button { "Compare now" }
                    }
                }
                @if agent.drifted_since.is_some() {
                    a.button href={ "../drift/act?action=repair&prefix=" (prefix) } { "Repair" }
                }
                @if agent.alive && agent.template_version.is_some() {
                    a.button href={ "../rollouts/act?action=start&prefix=" (prefix) } { "Upgrade" }
                }
            }
        }
        @if agent.alive { p { a href={ (prefix) "/sql" } { "The SQL that builds it" } } }
        @if agent.key_removed { p.note { "A deletion has taken its foreign key off, and is not done." } }
        h2 { "Tables" }
        div.scroll { table {
            thead { tr { th { "Table" } th { "There" } th.number { "kB" } th.number { "Rows (estimate)" } } }
            tbody { @for table in tables { (table_row(table)) } }
        } }
    }
}

/// As the last comparison found it.
fn differences(agent: &Agent, known: Option<&Known>) -> Markup {
    html! {
        h2 { "Differences from the templates" }
        @if let Some(known) = known {
            p {
                (known.differences) @if known.differences == 1 { " difference" } @else { " differences" }
                ", last found " (old(known.compared_age)) " ago, first " (old(known.since_age)) " ago."
            }
            ul {
                @for told in &known.told {
                    li { (state(&told.change)) " " (told.kind) " " code { (told.object.replace("{prefix}", &agent.prefix)) } }
                }
            }
            p.dim { "Without what a missing table or column takes with it." }
        } @else {
            p { "No comparison has found any, or none was made yet." }
        }
    }
}

/// The script for psql that builds such an agent.
pub(in crate::console) async fn sql(
    Path(prefix): Path<String>,
    Extension(visit): Extension<Visit>,
) -> Response {
    let page = script(&visit, &prefix).await;
    visit.show(&format!("SQL of {prefix}"), page).await
}

async fn script(visit: &Visit, prefix: &str) -> Result<Markup, operations::Error> {
    let none = || operations::Error::NoAgent(prefix.to_owned());
    let Ok(parsed) = prefix.parse::<Prefix>() else { return Err(none()) };
    let shown = agents::show(&visit.shared.instance, prefix).await?;
    let shown = shown.first().ok_or_else(none)?;
    let id = AgentId(shown.agent.id);
    let look = async |service: &Instance| {
        Ok::<_, operations::Error>((
            render::script(&service.config, &parsed, id)?,
            service.templates()?.version(),
        ))
    };
    let (sql, newest) = visit.shared.service.look(look).await?;
    Ok(html! {
        h1 { "SQL of " (prefix) }
        p {
            "What the templates of the service, version " (newest) ", run for an agent with this prefix and id"
            @match shown.agent.template_version {
                Some(version) if version < newest => { ". It was built up to version " (version) ": the files after that have not run." }
                _ => "."
            }
        }
        pre { (sql) }
        p { a href={ (visit.root) "agents/" (encoded(prefix)) } { "To the agent" } }
        p { "A command that shows the same:" } pre { "agent-provisioner render " (prefix) " --agent-id " (id.0) }
    })
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
