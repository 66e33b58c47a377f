//! What the trash holds.

use std::collections::BTreeMap;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::actor::Actor;
use super::error::Error;
use crate::agent::Prefix;
use crate::postgres::query;
use crate::service::Instance;

pub(crate) use crate::provisioning::Trashed;

/// Deleted agents that can be restored, by prefix, the latest first.
pub(crate) async fn list(instance: &Instance) -> Result<Vec<Trashed>, Error> {
    Ok(Trashed::read(&*instance.current().await?).await?)
}

/// What is in the trash under this number.
pub(crate) async fn find(instance: &Instance, item: i64) -> Result<Trashed, Error> {
    let found = list(instance).await?.into_iter().find(|trashed| trashed.item == item);
    found.ok_or(Error::NoItem(item))
}

/// Queues a job that brings an item back; its number.
pub(crate) async fn request_restore(
    actor: &Actor,
    instance: &Instance,
    item: i64,
    reason: &str,
) -> Result<i64, Error> {
    let sql = "select provisioning.request_restore($1, $2, $3)";
    let asked = ask(actor, instance, sql, item, reason).await?;
    let job = asked.try_get::<_, Option<i64>>(0).map_err(query("queue the restore"))?;
    job.ok_or(Error::NoItem(item))
}

/// Has the service purge an item at its next sweep.
pub(crate) async fn request_purge(
    actor: &Actor,
    instance: &Instance,
    item: i64,
    reason: &str,
) -> Result<(), Error> {
    let sql = "select provisioning.request_purge($1, $2, $3)";
    let asked = ask(actor, instance, sql, item, reason).await?;
    let is_there: bool = asked.try_get(0).map_err(query("ask for the purge"))?;
    if is_there { Ok(()) } else { Err(Error::NoItem(item)) }
}

async fn ask(
    actor: &Actor,
    instance: &Instance,
    sql: &str,
    item: i64,
    reason: &str,
) -> Result<Row, Error> {
    let client = actor.client(instance).await?;
    let asked: [(&(dyn ToSql + Sync), Type); 3] =
        [(&item, Type::INT8), (&reason, Type::TEXT), (&actor.name(), Type::TEXT)];
    let rows = client.query_typed(sql, &asked).await.map_err(refused)?;
    rows.into_iter().next().ok_or(Error::NoItem(item))
}

/// What the trash holds of these prefixes, or of all where none is named; of a prefix the latest first. A
/// prefix that is named has its place although there is nothing of it.
pub(super) async fn choose(
    client: &Client,
    prefixes: &[Prefix],
    wanted: impl Fn(&Trashed) -> bool,
) -> Result<BTreeMap<String, Vec<Trashed>>, Error> {
    let mut chosen: BTreeMap<String, Vec<Trashed>> =
        prefixes.iter().map(|prefix| (prefix.to_string(), Vec::new())).collect();
    for trashed in Trashed::read(client).await? {
        if !wanted(&trashed) {
            continue;
        }
        if prefixes.is_empty() {
            chosen.entry(trashed.agent_prefix.clone()).or_default().push(trashed);
        } else if let Some(of_prefix) = chosen.get_mut(&trashed.agent_prefix) {
            of_prefix.push(trashed);
        }
    }
    Ok(chosen)
}

/// The server's words, where it refuses: too many within the hour, another agent has the prefix, or the agent was moved.
fn refused(error: tokio_postgres::Error) -> Error {
    let codes =
        [SqlState::CONFIGURATION_LIMIT_EXCEEDED, SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE];
    let said = error.as_db_error().filter(|said| codes.contains(said.code()));
    match said {
        Some(said) => {
            Error::Refused(format!("{}. {}", said.message(), said.hint().unwrap_or_default()))
        }
        None => query("ask for it")(error).into(),
    }
}
