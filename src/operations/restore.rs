//! Bringing deleted agents back from the trash.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::Client;

use super::actor::Actor;
use super::error::Error;
use super::restored_keys::{Keys, Left};
use super::trash::choose;
use crate::agent::Prefix;
use crate::postgres::{self, query};
use crate::provisioning::moving::{self, Move};
use crate::provisioning::{self, Restored, Trashed};
use crate::queue::admin;
use crate::service::Instance;
use crate::telemetry::ErrorReport;

/// Which agents; an absent condition holds for all.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    /// Of these prefixes; none is all.
    pub prefixes: Vec<Prefix>,
    pub item: Option<i64>,
    pub deleted_since: Option<Duration>,
    /// Also one that another database has by now.
    pub moved: bool,
}

#[derive(Debug, Default, JsonSchema, Serialize)]
pub(crate) struct Report {
    pub prefix: String,
    pub id: Option<i64>,
    pub item: Option<i64>,
    pub restored: bool,
    pub tables: i64,
    /// Tables that are back outside schema `public`, where they were.
    pub elsewhere: Vec<String>,
    /// Its user is gone or has another agent by now.
    pub user_lost: bool,
    pub owner_known: bool,
    pub built_for: Option<String>,
    /// Foreign keys that hold for new rows only.
    pub not_valid: Vec<String>,
    /// Foreign keys that are off, and stay on the books until they are back.
    pub keys_off: Vec<Left>,
    /// Statements to run by hand.
    pub by_hand: Vec<String>,
    pub failed: Vec<String>,
    pub statements: Vec<String>,
    pub error: Option<String>,
}

/// Restores agents one after the other: a refusal keeps no other from coming back. `each` is told of every one at once.
pub(crate) async fn restore(
    actor: &Actor,
    instance: &Instance,
    selection: &Selection,
    dry_run: bool,
    mut each: impl FnMut(&Report),
) -> Result<Vec<Report>, Error> {
    let Selection { prefixes, item, deleted_since, moved } = selection;
    let mut client = actor.client(instance).await?;
    let wanted = |trashed: &Trashed| {
        item.is_none_or(|item| trashed.item == item)
            && deleted_since.is_none_or(|since| trashed.age <= since.as_secs_f64())
    };
    let mut reports = Vec::new();
    for (prefix, found) in choose(&client, prefixes, wanted).await? {
        let report = match restore_one(&mut client, &prefix, &found, *moved, dry_run).await {
            Ok((trashed, restored, keys)) => Report::of(trashed, restored, keys, dry_run),
            Err(error) => {
                let error = Some(ErrorReport(&error).to_string());
                Report { prefix, error, ..Report::default() }
            }
        };
        each(&report);
        reports.push(report);
    }
    match (*item, reports.as_slice()) {
        (Some(item), []) => Err(Error::NoItem(item)),
        _ => Ok(reports),
    }
}

/// One transaction for the agent, and two short ones for each foreign key: those that write to the table that it
/// refers to do not wait for the rest.
async fn restore_one<'a>(
    client: &mut Client,
    prefix: &str,
    found: &'a [Trashed],
    moved: bool,
    dry_run: bool,
) -> Result<(&'a Trashed, Restored, Keys), Error> {
    let tx = postgres::begin(client).await.map_err(query("begin a transaction"))?;
    let present = admin::agents(tx.client(), Some(prefix)).await;
    if let Some(agent) = present.map_err(query("look for the prefix"))?.first() {
        let (prefix, id, alive) = (prefix.to_owned(), agent.id, agent.alive);
        return Err(Error::Present { prefix, id, alive });
    }
    let trashed = match found {
        [trashed] => trashed,
        [] => return Err(Error::NotInTrash(prefix.to_owned())),
        several => {
            return Err(Error::Several { prefix: prefix.to_owned(), items: names(several) });
        }
    };
    if !trashed.lost_schemas.is_empty() {
        let (prefix, statements) = (prefix.to_owned(), trashed.lost_schemas.clone());
        return Err(Error::SchemaGone { prefix, statements });
    }
    let away = Move::away(tx.client(), trashed.item).await?;
    if let Some(Move { peer, since, .. }) = away.as_ref().filter(|_| !moved) {
        let (prefix, peer, since) = (prefix.to_owned(), peer.clone(), since.clone());
        return Err(Error::MovedAway { prefix, peer, since });
    }
    let Some(restored) = provisioning::restore(tx.client(), trashed).await? else {
        return Err(Error::NotInTrash(prefix.to_owned()));
    };
    if let Some(away) = away {
        moving::reopen(tx.client(), &away).await?;
    }
    let keys = provisioning::keys_off(tx.client(), &[trashed.agent_id]).await?;
    if dry_run {
        tx.rollback().await.map_err(query("roll back"))?;
        return Ok((trashed, restored, Keys::planned(keys)));
    }
    tx.commit().await.map_err(query("restore the agent"))?;
    let mut done = Keys::default();
    for key in keys {
        done.give_back(client, key).await;
    }
    Ok((trashed, restored, done))
}

fn names(several: &[Trashed]) -> String {
    let name = |Trashed { item, agent_id, deleted_at, .. }: &Trashed| {
        format!("{item} (agent {agent_id}, deleted {deleted_at})")
    };
    several.iter().map(name).collect::<Vec<_>>().join(", ")
}

impl Report {
    fn of(trashed: &Trashed, mut restored: Restored, keys: Keys, dry_run: bool) -> Self {
        restored.statements.extend(keys.statements);
        let failed = |(statement, error): &(String, tokio_postgres::Error)| {
            format!("{statement}: {}", ErrorReport(error))
        };
        Self {
            prefix: trashed.agent_prefix.clone(),
            id: Some(trashed.agent_id),
            item: Some(trashed.item),
            restored: !dry_run,
            tables: trashed.tables,
            elsewhere: trashed.elsewhere.clone(),
            user_lost: restored.orphaned,
            owner_known: restored.owner_known,
            built_for: restored.built_for,
            failed: restored.failed.iter().map(failed).collect(),
            not_valid: keys.not_valid,
            keys_off: keys.left,
            by_hand: restored.by_hand,
            statements: restored.statements,
            error: None,
        }
    }

    /// Whether nothing is left to do.
    pub(crate) fn is_clean(&self) -> bool {
        self.error.is_none() && self.failed.is_empty() && self.keys_off.is_empty()
    }
}
