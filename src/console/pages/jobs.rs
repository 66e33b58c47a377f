//! Jobs, by the conditions in the address.

use axum::Extension;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};

use super::parts::{capped, counted, job_heads, job_row};
use crate::console::actions::ACTIONS;
use crate::console::filter::{Asked, PAGE};
use crate::console::visit::Visit;
use crate::operations;
use crate::operations::jobs::{self, Kind, State};

/// More are not counted.
const COUNTED: i64 = 10_000;

pub(in crate::console) async fn show(Extension(visit): Extension<Visit>) -> Response {
    // A number alone is a job's.
    if let Some(id) = visit.query.get("text").and_then(|text| text.parse::<i64>().ok()) {
        return Redirect::to(&format!("jobs/{id}")).into_response();
    }
    let asked = Asked::read(&visit.query);
    if let Some(problem) = &asked.problem {
        return visit.error(StatusCode::BAD_REQUEST, problem);
    }
    let page = page(&visit, &asked).await;
    visit.show("Jobs", page).await
}

async fn page(visit: &Visit, asked: &Asked) -> Result<Markup, operations::Error> {
    let (jobs, total) = jobs::list_capped(&visit.shared.instance, &asked.filter, COUNTED).await?;
    let last = jobs.last().map(|job| job.id);
    let full = i64::try_from(jobs.len()).is_ok_and(|shown| shown == PAGE);
    Ok(html! {
        h1 { "Jobs" }
        (filters(asked))
        @if jobs.is_empty() {
            p { "No jobs." }
        } @else {
            form method="get" action="jobs/act" {
                div.scroll {
                    table {
                        caption { (counted(&capped(total, COUNTED), "job")) ", the newest first" }
                        thead { (job_heads(visit.viewer.may_act())) }
                        tbody { @for job in &jobs { (job_row(job, &visit.root, visit.viewer.may_act())) } }
                    }
                }
                @if visit.viewer.may_act() {
                    div.actions {
                        span.dim { "The chosen ones:" }
                        @for action in &ACTIONS { button name="action" value=(action.name) { (action.label) } }
                    }
                }
            }
            @if visit.viewer.may_act() { (for_all(asked)) }
            @if let Some(last) = last.filter(|_| full) {
                p { a href={ "jobs?" (asked.page_before(last)) } rel="next" { "Older jobs" } }
            }
        }
    })
}

/// Acts on all that match, however many pages they are. The next page says how many that is.
fn for_all(asked: &Asked) -> Markup {
    let states = &asked.filter.states;
    let fits =
        |from: &[State]| states.is_empty() || states.iter().any(|state| from.contains(state));
    html! {
        form method="get" action="jobs/act" {
            input type="hidden" name="all" value="1";
            @for (name, value) in asked.fields() { input type="hidden" name=(name) value=(value); }
            div.actions {
                span.dim { "All that match, on all pages:" }
                @for action in ACTIONS.iter().filter(|action| fits(action.from)) {
                    button name="action" value=(action.name) { (action.label) }
                }
            }
        }
    }
}

fn filters(asked: &Asked) -> Markup {
    let filter = &asked.filter;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    html! {
        form.filters method="get" action="jobs" {
            fieldset.states {
                legend { "State" }
                @for state in State::ALL {
                    label {
                        input type="checkbox" name="state" value=(state.as_str()) checked[filter.states.contains(&state)];
                        (state.as_str())
                    }
                }
            }
            label { "Kind"
                select name="kind" {
                    option value="" { "any" }
                    @for kind in Kind::ALL {
                        option value=(kind) selected[filter.kinds.contains(&kind)] { (kind) }
                    }
                }
            }
            label { "Prefix (* is any text)" input name="prefix" size="12" value=(text(&filter.prefix)); }
            label { "SQLSTATE" input name="sqlstate" size="6" value=(text(&filter.sqlstate)); }
            label { "Within" input name="since" size="6" placeholder="1h" value=(asked.since); }
            label { "Text in the error, or a job's number" input name="text" type="search" value=(text(&filter.text)); }
            button { "Show" }
        }
    }
}
