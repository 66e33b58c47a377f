//! All agents, by the conditions in the address.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use axum::Extension;
use axum::response::Response;
use maud::{Markup, html};

use super::parts::{encoded, job_state, kilobytes, meaning, old, state, time};
use crate::console::form::query;
use crate::console::visit::Visit;
use crate::operations;
use crate::operations::agents::{self, AgentDetail, ListedAgent};

/// Agents on a page.
const PAGE: usize = 100;

/// There are not so many agents.
const LAST: usize = 1_000_000;

/// Names in addresses, and what people read.
const SORTS: [(&str, &str); 6] = [
    ("prefix", "prefix"),
    ("state", "state"),
    ("version", "templates, the oldest first"),
    ("size", "size, the largest first"),
    ("drift", "drift, the latest first"),
    ("job", "last job, the latest first"),
];

/// What the address says.
struct Asked {
    prefix: String,
    state: String,
    sort: String,
    page: usize,
}

impl Asked {
    fn read(visit: &Visit) -> Self {
        let text = |name: &str| visit.query.get(name).unwrap_or_default().to_owned();
        let page = visit.query.get("page").and_then(|page| page.parse().ok()).unwrap_or(1);
        let (prefix, state, sort) = (text("prefix"), text("state"), text("sort"));
        Self { prefix, state, sort, page: page.clamp(1, LAST) }
    }

    fn at(&self, page: usize) -> String {
        query([
            ("prefix", self.prefix.clone()),
            ("state", self.state.clone()),
            ("sort", self.sort.clone()),
            ("page", page.to_string()),
        ])
    }

    fn fits(&self, agent: &ListedAgent) -> bool {
        agent.prefix.contains(&self.prefix) && (self.state.is_empty() || agent.state == self.state)
    }
}

/// What is shown, of all.
struct Found<'a> {
    /// How many there are.
    total: usize,
    counts: Vec<(&'a str, usize)>,
    /// How many fit.
    number: usize,
    page: Vec<&'a ListedAgent>,
    details: BTreeMap<i64, AgentDetail>,
}

pub(in crate::console) async fn show(Extension(visit): Extension<Visit>) -> Response {
    let asked = Asked::read(&visit);
    let (snapshots, instance) = (&visit.shared.snapshots, &visit.shared.instance);
    let seen = snapshots.agents(instance).await;
    // The number by which agents stand that the list does not have.
    let numbers = match asked.sort.as_str() {
        "size" => Some(snapshots.sizes(instance).await),
        "job" => Some(snapshots.last_jobs(instance).await),
        _ => None,
    };
    let all = seen.as_ref().as_ref();
    let numbers = numbers.as_deref().map(Result::as_ref).transpose();
    let (all, numbers) = match (all, numbers) {
        (Ok(all), Ok(numbers)) => (all, numbers),
        (Err(error), _) | (_, Err(error)) => {
            return visit.troubled(error).await;
        }
    };
    let found = find(&visit, &asked, all, numbers).await;
    visit.show("Agents", found.map(|found| page(&visit, &asked, &found))).await
}

/// What fits, in its order, and what the page shows of it.
async fn find<'a>(
    visit: &Visit,
    asked: &Asked,
    all: &'a [ListedAgent],
    numbers: Option<&BTreeMap<i64, i64>>,
) -> Result<Found<'a>, operations::Error> {
    let mut states: Vec<&str> = all.iter().map(|agent| agent.state.as_str()).collect();
    states.sort_unstable();
    let counts =
        states.chunk_by(|a, b| a == b).filter_map(|run| Some((*run.first()?, run.len()))).collect();
    let mut fitting: Vec<&ListedAgent> = all.iter().filter(|agent| asked.fits(agent)).collect();
    match (asked.sort.as_str(), numbers) {
        (_, Some(numbers)) => fitting.sort_by_key(|agent| Reverse(numbers.get(&agent.id))),
        ("state", None) => fitting.sort_by(|a, b| a.state.cmp(&b.state)),
        ("version", None) => fitting.sort_by_key(|agent| agent.template_version),
        ("drift", None) => fitting.sort_by(|a, b| b.drifted_since.cmp(&a.drifted_since)),
        (_, None) => {}
    }
    let number = fitting.len();
    let from = (asked.page - 1).saturating_mul(PAGE);
    let page: Vec<&ListedAgent> = fitting.into_iter().skip(from).take(PAGE).collect();
    let ids: Vec<i64> = page.iter().map(|agent| agent.id).collect();
    let details = agents::details(&visit.shared.instance, &ids).await?;
    Ok(Found { total: all.len(), counts, number, page, details })
}

fn page(visit: &Visit, asked: &Asked, found: &Found<'_>) -> Markup {
    let more = asked.page.saturating_mul(PAGE) < found.number;
    let none = AgentDetail::default();
    html! {
        h1 { "Agents" }
        p {
            @for (name, count) in &found.counts { (state(name)) " " (count) " " }
            @if found.counts.is_empty() { "There are no agents." }
        }
        (filters(asked, &found.counts))
        div.scroll {
            table {
                caption { (found.number) " of " (found.total) " agents" }
                thead { tr {
                    th { "Prefix" } th { "State" } th.number { "Templates" } th.number { "Tables" }
                    th.number { "Size" } th { "Built" } th { "Differs since" } th { "Last job" }
                } }
                tbody {
                    @for agent in &found.page {
                        (row(agent, found.details.get(&agent.id).unwrap_or(&none), &visit.root))
                    }
                }
            }
        }
        details {
            summary { "What the states mean" }
            dl { @for (name, _) in &found.counts { @if let Some(meaning) = meaning(name) { dt { (state(name)) } dd { (meaning) } } } }
        }
        p.dim { "Sizes are with indexes, and as the last VACUUM or ANALYZE saw them: that long ago." }
        p {
            @if asked.page > 1 { a href={ "agents?" (asked.at(asked.page - 1)) } rel="prev" { "Before" } " " }
            @if more { a href={ "agents?" (asked.at(asked.page + 1)) } rel="next" { "More" } }
        }
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
                    @for (sort, label) in SORTS { option value=(sort) selected[sort == asked.sort] { (label) } }
                }
            }
            button { "Show" }
        }
    }
}

fn row(agent: &ListedAgent, detail: &AgentDetail, root: &str) -> Markup {
    html! {
        tr {
            td { a href={ (root) "agents/" (encoded(&agent.prefix)) } { (agent.prefix) } }
            td { (state(&agent.state)) }
            td.number { @if let Some(version) = agent.template_version { (version) } @else { "–" } }
            td.number { (detail.tables) }
            td.number { (size(detail)) }
            td { (time(agent.provisioned_at.as_deref())) }
            td { (time(agent.drifted_since.as_deref())) }
            td {
                @if let Some(job) = &detail.last_job {
                    a href={ (root) "jobs/" (job.id) } { (job.id) } " " (job.kind) " " (job_state(job.id, &job.state))
                }
            }
        }
    }
}

/// With the age of that figure.
fn size(detail: &AgentDetail) -> Markup {
    html! {
        @if let Some(bytes) = detail.bytes {
            (kilobytes(bytes)) " kB"
            @if let Some(age) = detail.measured_age { ", " (old(Some(age))) " ago" }
        } @else { "–" }
    }
}
