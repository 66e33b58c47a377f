//! Deleted agents that can be restored, and the commands that do the same as the buttons.

use axum::Extension;
use axum::response::Response;
use maud::{Markup, html};

use super::parts::{encoded, time};
use crate::console::confirm::word;
use crate::console::form::query;
use crate::console::visit::Visit;
use crate::operations;
use crate::operations::trash::{self, Trashed};

/// Agents on a page.
const PAGE: usize = 100;

/// There are not so many agents.
const LAST: usize = 1_000_000;

pub(in crate::console) async fn show(Extension(visit): Extension<Visit>) -> Response {
    let held = match &*visit.shared.snapshots.latest(&visit.shared.instance).await {
        Ok(snapshot) => snapshot.status.queue.trash.held,
        Err(error) => return visit.troubled(error).await,
    };
    let page = page(&visit, held).await;
    visit.show("Trash", page).await
}

async fn page(visit: &Visit, held: bool) -> Result<Markup, operations::Error> {
    let prefix = visit.query.get("prefix").unwrap_or_default();
    let number = visit.query.get("page").and_then(|page| page.parse().ok()).unwrap_or(1);
    let number: usize = number.clamp(1, LAST);
    let all = trash::list(&visit.shared.instance).await?;
    let total = all.len();
    let found: Vec<Trashed> =
        all.into_iter().filter(|item| item.agent_prefix.contains(prefix)).collect();
    let from = (number - 1).saturating_mul(PAGE);
    let at = |page: usize| query([("prefix", prefix.to_owned()), ("page", page.to_string())]);
    Ok(html! {
        h1 { "Trash" }
        (about(held))
        form.filters method="get" action="trash" {
            label { "Part of the prefix" input name="prefix" type="search" value=(prefix); }
            button { "Show" }
        }
        @if total == 0 { p { "The trash is empty." } } @else {
            div.scroll { table {
                caption { (found.len()) " of " (total) " deleted agents" }
                thead { tr { th { "Prefix" } th { "User" } th { "Deleted" } th { "Kept until" } th.number { "Tables" }
                    th.number { "Rows (estimate)" } th.number { "kB (estimate)" } th { "Act" } } }
                tbody { @for trashed in found.iter().skip(from).take(PAGE) { (row(trashed, held, visit)) } }
            } }
            p {
                @if number > 1 { a href={ "trash?" (at(number - 1)) } rel="prev" { "Before" } " " }
                @if from + PAGE < found.len() { a href={ "trash?" (at(number + 1)) } rel="next" { "More" } }
            }
        }
        p { "A command that shows the same:" } pre { "agent-provisioner agents trash" }
    })
}

fn about(held: bool) -> Markup {
    html! {
        @if held {
            p.problem role="alert" {
                "Nothing is purged, whatever the dates say: the database's clock has moved. When it is right: "
                code { "agent-provisioner agents purge --resume --yes" }
            }
        }
        p { "The commands are for the owner of schema " code { "provisioning" } ", such as postgres. They do at once what the buttons ask the service for." }
    }
}

fn row(trashed: &Trashed, held: bool, visit: &Visit) -> Markup {
    let (item, prefix, root) = (trashed.item, &trashed.agent_prefix, &visit.root);
    let restore = format!("agent-provisioner agents restore {} --item {item}", word(prefix));
    html! {
        tr {
            td { a href={ (root) "agents/" (encoded(prefix)) } { (prefix) } " (" (trashed.agent_id) ")" }
            td {
                @match (&trashed.user_id, trashed.owner_known) {
                    (Some(user), _) => (user),
                    (None, true) => "none",
                    (None, false) => "not known",
                }
            }
            td { (time(Some(&trashed.deleted_at))) }
            td { @if held { "held; " } (time(Some(&trashed.purge_at))) }
            td.number { (trashed.tables) }
            td.number { @if let Some(rows) = trashed.rows { (rows) } @else { "–" } }
            td.number { (trashed.bytes / 1024) }
            td.long {
                @if visit.viewer.may_act() {
                    div.actions {
                        a.button href={ (root) "trash/act?action=restore&item=" (item) } { "Restore" }
                        a.button href={ (root) "trash/act?action=purge&item=" (item) } { "Purge" }
                    }
                }
                details {
                    summary { "Commands" }
                    pre { (restore) }
                    p { "No row comes back after this one:" }
                    pre { "agent-provisioner agents purge --item " (item) " --yes" }
                }
            }
        }
    }
}
