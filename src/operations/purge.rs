//! Erasing deleted agents, and letting the service purge again.

use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::Client;

use super::actor::Actor;
use super::error::Error;
use super::trash::choose;
use crate::agent::Prefix;
use crate::postgres::query;
use crate::provisioning::{self, Trashed};
use crate::service::Instance;
use crate::telemetry::ErrorReport;

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Report {
    pub prefix: String,
    pub id: Option<i64>,
    pub item: Option<i64>,
    pub tables: i64,
    pub purged: bool,
    pub error: Option<String>,
}

/// Erases what the trash holds of these prefixes, one transaction an agent, or this item of it. A refusal keeps no other
/// from being erased. A dry run changes nothing.
pub(crate) async fn erase(
    actor: &Actor,
    instance: &Instance,
    prefixes: &[Prefix],
    item: Option<i64>,
    dry_run: bool,
) -> Result<Vec<Report>, Error> {
    let mut client = actor.client(instance).await?;
    let wanted = |trashed: &Trashed| item.is_none_or(|item| trashed.item == item);
    let mut reports = Vec::new();
    for (prefix, found) in choose(&client, prefixes, wanted).await? {
        if found.is_empty() {
            reports.push(Report::refused(prefix.clone(), &Error::NotInTrash(prefix)));
        }
        for trashed in found {
            let purged = if dry_run { Ok(()) } else { purge_one(&mut client, &trashed).await };
            reports.push(Report::of(trashed, !dry_run, purged));
        }
    }
    if let (Some(item), []) = (item, reports.as_slice()) {
        reports.push(Report::refused(String::new(), &Error::NoItem(item)));
    }
    Ok(reports)
}

/// What became of a purge that an operator let go on.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Resumed {
    /// It was held.
    pub held: bool,
    /// It goes on.
    pub resumed: bool,
}

/// Lets the service purge again, after the database's clock has moved; `false`: it was not held. The service measures
/// the clock anew from its next sweep on. A dry run changes nothing.
pub(crate) async fn resume(
    actor: &Actor,
    instance: &Instance,
    dry_run: bool,
) -> Result<bool, Error> {
    let doing = || query("release the purge");
    let mut client = actor.client(instance).await?;
    let tx = client.transaction().await.map_err(query("begin a transaction"))?;
    let release = "update provisioning.purge_holds set released_at = now(), released_by = current_user \
                   where released_at is null";
    if tx.execute_typed(release, &[]).await.map_err(doing())? == 0 {
        return Ok(false);
    }
    let forget = "update provisioning.trash set clock_offset = null";
    tx.execute_typed(forget, &[]).await.map_err(doing())?;
    let ended = if dry_run { tx.rollback().await } else { tx.commit().await };
    ended.map_err(doing())?;
    Ok(true)
}

async fn purge_one(client: &mut Client, trashed: &Trashed) -> Result<(), Error> {
    let tx = client.transaction().await.map_err(query("begin a transaction"))?;
    if provisioning::purge(tx.client(), trashed.item, false).await?.is_none() {
        return Err(Error::NoItem(trashed.item));
    }
    Ok(tx.commit().await.map_err(query("purge the agent"))?)
}

impl Report {
    fn of(trashed: Trashed, done: bool, purged: Result<(), Error>) -> Self {
        let error = purged.err().map(|error| ErrorReport(&error).to_string());
        Self {
            prefix: trashed.agent_prefix,
            id: Some(trashed.agent_id),
            item: Some(trashed.item),
            tables: trashed.tables,
            purged: done && error.is_none(),
            error,
        }
    }

    fn refused(prefix: String, error: &Error) -> Self {
        let error = Some(ErrorReport(error).to_string());
        Self { prefix, id: None, item: None, tables: 0, purged: false, error }
    }
}
