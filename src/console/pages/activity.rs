//! Who did what, when and why, by the conditions in the address.

use axum::Extension;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::parts::time;
use crate::console::filter::age;
use crate::console::form::query;
use crate::console::visit::Visit;
use crate::operations;
use crate::operations::activity::{self, ACTIONS, Filter, PersonsAction};

/// Actions on a page.
const PAGE: usize = 50;

/// Jobs that are named of an action.
const JOBS: usize = 5;

pub(in crate::console) async fn show(Extension(visit): Extension<Visit>) -> Response {
    let text = |name: &str| visit.query.get(name).map(str::to_owned);
    let since = text("since").unwrap_or_default();
    let action = text("action");
    let is_known = |action: &String| ACTIONS.contains(&action.as_str());
    if !action.as_ref().is_none_or(is_known) {
        return visit.error(StatusCode::BAD_REQUEST, "There is no such action.");
    }
    let filter = Filter {
        before: visit.query.get("before").and_then(|id| id.parse().ok()),
        by: text("by"),
        action,
        since: age(&since),
        job: None,
    };
    if filter.since.is_none() && !since.is_empty() {
        let said = format!("since {since:?} means nothing here");
        return visit.error(StatusCode::BAD_REQUEST, &said);
    }
    let page = page(&visit, &filter, &since).await;
    visit.show("Activity", page).await
}

async fn page(visit: &Visit, filter: &Filter, since: &str) -> Result<Markup, operations::Error> {
    let most = i64::try_from(PAGE).unwrap_or(i64::MAX);
    let all = activity::list(&visit.shared.instance, filter, most).await?;
    let last = all.last().filter(|_| all.len() == PAGE).map(|done| done.id);
    let older = |id: i64| {
        query([
            ("by", filter.by.clone().unwrap_or_default()),
            ("action", filter.action.clone().unwrap_or_default()),
            ("since", since.to_owned()),
            ("before", id.to_string()),
        ])
    };
    Ok(html! {
        h1 { "Activity" }
        p { "What persons have done to jobs, rollouts and findings, here and by commands. Nothing takes it away." }
        (filters(filter, since))
        @if all.is_empty() { p { "Nothing." } } @else {
            div.scroll { table {
                thead { tr { th { "When" } th { "Who" } th { "What" } th { "To" } th { "Why" } } }
                tbody { @for done in &all { (row(done, &visit.root)) } }
            } }
        }
        @if let Some(last) = last { p { a href={ "activity?" (older(last)) } rel="next" { "Older" } } }
    })
}

fn filters(filter: &Filter, since: &str) -> Markup {
    html! {
        form.filters method="get" action="activity" {
            label { "Part of who" input name="by" type="search" value=(filter.by.as_deref().unwrap_or_default()); }
            label { "What"
                select name="action" {
                    option value="" { "anything" }
                    @for action in ACTIONS {
                        option value=(action) selected[filter.action.as_deref() == Some(action)] { (action) }
                    }
                }
            }
            label { "Within" input name="since" size="6" placeholder="1h" value=(since); }
            button { "Show" }
        }
    }
}

fn row(done: &PersonsAction, root: &str) -> Markup {
    html! {
        tr {
            td { (time(Some(&done.done_at))) }
            td.long { (done.done_by) }
            td { (done.action) }
            td.long { (subject(done, root)) }
            td.long { @if let Some(reason) = &done.reason { (reason) } @else { "–" } }
        }
    }
}

fn subject(done: &PersonsAction, root: &str) -> Markup {
    let named = done.jobs.len().min(JOBS);
    let more = done.job_count - i64::try_from(named).unwrap_or_default();
    html! {
        @for id in done.jobs.iter().take(JOBS) {
            @if done.present.contains(id) { a href={ (root) "jobs/" (id) } { "job " (id) } } @else { "job " (id) ", which is pruned" } " "
        }
        @if more > 0 { "and " (more) " more " }
        @if let Some(prefixes) = &done.prefixes { "(" (prefixes) ")" }
        @if let Some(rollout) = done.rollout { a href={ (root) "rollouts" } { "rollout " (rollout) } }
        @if let Some(finding) = &done.finding { "finding " code { (finding) } }
    }
}
