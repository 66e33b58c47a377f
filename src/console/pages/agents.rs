//! All agents, by the conditions in the address.

use axum::Extension;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::layout;
use super::parts::{encoded, job_state, state, time};
use crate::console::form::query;
use crate::console::visit::Visit;
use crate::operations::agents::Agent;

/// Agents on a page.
const PAGE: usize = 100;

/// There are not so many agents.
const LAST: usize = 1_000_000;

const SORTS: [&str; 4] = ["prefix", "state", "version", "job"];

/// What the address says.
struct Asked {
    prefix: String,
    state: String,
    sort: String,
    page: usize,
}

pub(in crate::console) async fn show(Extension(visit): Extension<Visit>) -> Response {
    let text = |name: &str| visit.query.get(name).unwrap_or_default().to_owned();
    let asked = Asked {
        prefix: text("prefix"),
        state: text("state"),
        sort: text("sort"),
        page: visit
            .query
            .get("page")
            .and_then(|page| page.parse().ok())
            .unwrap_or(1)
            .clamp(1, LAST),
    };
    match &*visit.shared.snapshots.agents(&visit.shared.instance).await {
        Ok(all) => layout::page(&visit, StatusCode::OK, "Agents", &page(&visit, &asked, all)),
        Err(error) => visit.error(StatusCode::SERVICE_UNAVAILABLE, error),
    }
}

fn page(visit: &Visit, asked: &Asked, all: &[Agent]) -> Markup {
    let mut states: Vec<&str> = all.iter().map(|agent| agent.state.as_str()).collect();
    states.sort_unstable();
    let counts: Vec<(&str, usize)> =
        states.chunk_by(|a, b| a == b).filter_map(|run| Some((*run.first()?, run.len()))).collect();
    let fits = |agent: &&Agent| {
        agent.prefix.contains(&asked.prefix)
            && (asked.state.is_empty() || agent.state == asked.state)
    };
    let mut found: Vec<&Agent> = all.iter().filter(fits).collect();
    match asked.sort.as_str() {
        "state" => found.sort_by(|a, b| a.state.cmp(&b.state)),
        "version" => found.sort_by_key(|agent| agent.template_version),
        "job" => {
            found.sort_by_key(|agent| std::cmp::Reverse(agent.last_job.as_ref().map(|job| job.id)));
        }
        _ => {}
    }
    let from = (asked.page - 1).saturating_mul(PAGE);
    let shown = || found.iter().skip(from).take(PAGE);
    html! {
        h1 { "Agents" }
        p {
            @for (name, count) in &counts { (state(name)) " " (count) " " }
            @if counts.is_empty() { "There are no agents." }
        }
        (filters(asked, &counts))
        div.scroll {
            table {
                caption { (found.len()) " of " (all.len()) " agents" }
                thead { tr { th { "Prefix" } th { "State" } th.number { "Templates" } th.number { "Tables" } th { "Built" } th { "Differs since" } th { "Last job" } } }
                tbody { @for agent in shown() { (row(agent, &visit.root)) } }
            }
        }
        p {
            @if asked.page > 1 { a href={ "agents?" (asked.at(asked.page - 1)) } rel="prev" { "Before" } " " }
            @if from + PAGE < found.len() { a href={ "agents?" (asked.at(asked.page + 1)) } rel="next" { "More" } }
        }
    }
}

impl Asked {
    fn at(&self, page: usize) -> String {
        query([
            ("prefix", self.prefix.clone()),
            ("state", self.state.clone()),
            ("sort", self.sort.clone()),
            ("page", page.to_string()),
        ])
    }
}

fn filters(asked: &Asked, counts: &[(&str, usize)]) -> Markup {
    html! {
        form.filters method="get" action="agents" {
            label { "Part of the prefix" input name="prefix" type="search" value=(asked.prefix); }
            label { "State"
                select name="state" {
                    option value="" { "any" }
                    @for (name, count) in counts {
                        option value=(name) selected[*name == asked.state] { (name) " (" (count) ")" }
                    }
                }
            }
            label { "Sort by"
                select name="sort" {
                    @for sort in SORTS { option value=(sort) selected[sort == asked.sort] { (sort) } }
                }
            }
            button { "Show" }
        }
    }
}

fn row(agent: &Agent, root: &str) -> Markup {
    html! {
        tr {
            td { a href={ (root) "agents/" (encoded(&agent.prefix)) } { (agent.prefix) } }
            td { (state(&agent.state)) }
            td.number { @if let Some(version) = agent.template_version { (version) } @else { "–" } }
            td.number { (agent.tables) }
            td { (time(agent.provisioned_at.as_deref())) }
            td { (time(agent.drifted_since.as_deref())) }
            td {
                @if let Some(job) = &agent.last_job {
                    a href={ (root) "jobs/" (job.id) } { (job.id) } " " (job.kind) " " (job_state(job.id, &job.state))
                }
            }
        }
    }
}
