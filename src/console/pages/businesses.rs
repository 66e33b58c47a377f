//! Businesses, their members and their numbers. No token, no customer, and of members the ids of their users.

use axum::Extension;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::parts::{encoded, time};
use crate::console::form::query;
use crate::console::visit::Visit;
use crate::operations;
use crate::operations::businesses::{self, Business, Member, WhatsAppPhone};

/// Businesses on a page.
const PAGE: usize = 100;

/// Members and numbers that are shown.
const SHOWN: i64 = 500;

pub(in crate::console) async fn show(Extension(visit): Extension<Visit>) -> Response {
    let after = visit.query.get("after");
    if !after.is_none_or(is_id) {
        return visit.error(StatusCode::BAD_REQUEST, "after is the id of a business.");
    }
    let page = page(&visit, after).await;
    visit.show("Businesses", page).await
}

/// As the server writes ids of that kind.
fn is_id(text: &str) -> bool {
    let fits = |(place, byte): (usize, u8)| match place {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    text.len() == 36 && text.bytes().enumerate().all(fits)
}

async fn page(visit: &Visit, after: Option<&str>) -> Result<Markup, operations::Error> {
    let name = visit.query.get("name");
    let most = i64::try_from(PAGE).unwrap_or(i64::MAX);
    let all = businesses::list(&visit.shared.instance, name, after, most).await?;
    let last = all.last().filter(|_| all.len() == PAGE);
    let more = |last: &Business| {
        query([("name", name.unwrap_or_default().to_owned()), ("after", last.id.clone())])
    };
    Ok(html! {
        h1 { "Businesses" }
        form.filters method="get" action="businesses" {
            label { "Part of the name" input name="name" type="search" value=(name.unwrap_or_default()); }
            button { "Show" }
        }
        @if all.is_empty() { p { "No businesses." } } @else {
            div.scroll { table {
                thead { tr { th { "Name" } th { "Type" } th.number { "Members" } th.number { "Agents" } th.number { "Numbers" } th { "Since" } } }
                tbody { @for business in &all { (row(business, &visit.root)) } }
            } }
        }
        @if let Some(last) = last { p { a href={ "businesses?" (more(last)) } rel="next" { "More" } } }
    })
}

fn row(business: &Business, root: &str) -> Markup {
    html! {
        tr {
            td.long { a href={ (root) "businesses/" (business.id) } { (business.name) } }
            td { @if let Some(kind) = &business.kind { (kind) } @else { "–" } }
            td.number { (business.members) } td.number { (business.agents) } td.number { (business.numbers) }
            td { (time(Some(&business.created_at))) }
        }
    }
}

pub(in crate::console) async fn one(
    Path(id): Path<String>,
    Extension(visit): Extension<Visit>,
) -> Response {
    if !is_id(&id) {
        return visit.error(StatusCode::NOT_FOUND, "There is no such business.");
    }
    let page = business(&visit, &id).await;
    visit.show("Business", page).await
}

async fn business(visit: &Visit, id: &str) -> Result<Markup, operations::Error> {
    let instance = &visit.shared.instance;
    let members = businesses::members(instance, id, SHOWN).await?;
    let numbers = businesses::numbers(instance, id, SHOWN).await?;
    Ok(html! {
        h1 { "Business " (id) }
        h2 { "Members" }
        @if members.is_empty() { p { "No members." } } @else {
            div.scroll { table {
                thead { tr { th { "User" } th { "Role" } th { "Since" } } }
                tbody { @for Member { user, role, since } in &members { tr { td.long { (user) } td { (role) } td { (time(Some(since))) } } } }
            } }
        }
        h2 { "Numbers" }
        @if numbers.is_empty() { p { "No numbers." } } @else {
            div.scroll { table {
                thead { tr { th { "Number" } th { "phone_number_id" } th { "App" } th { "Agent" } th { "Active" } th { "Token" } } }
                tbody { @for number in &numbers { (number_row(number, &visit.root)) } }
            } }
        }
        p { "A command that shows the numbers of all businesses:" } pre { "agent-provisioner numbers list" }
    })
}

fn number_row(number: &WhatsAppPhone, root: &str) -> Markup {
    let yes = |is: bool| if is { "yes" } else { "no" };
    html! {
        tr {
            td { "+" (number.display_number) } td { (number.phone_number_id) } td { (number.app_id) }
            td {
                @if let Some(prefix) = &number.agent_prefix { a href={ (root) "agents/" (encoded(prefix)) } { (prefix) } } @else { "–" }
            }
            td { (yes(number.is_active)) } td { @if number.has_token { "is stored" } @else { "none" } }
        }
    }
}
