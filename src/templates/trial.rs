//! What every trial of templates on a server rests on: it ends as it began, and finds the place of what it found.

use std::collections::BTreeMap;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::apply::{apply, apply_or_take_back, lock_referenced};
use super::error::{Error, query};
use super::script::Script;
use super::stray::Stray;
use super::{scratch, stray, undeletable};
use crate::agent::{AgentId, Prefix};
use crate::schema::AgentsKey;

/// By which a transaction is known again. Needs an open one.
pub(crate) async fn transaction(client: &Client) -> Result<String, Error> {
    let rows = client.query_typed("select pg_catalog.pg_current_xact_id()::text", &[]).await;
    let rows = rows.map_err(query("look at the transaction"))?;
    Ok(rows.first().map(|row| row.get(0)).unwrap_or_default())
}

/// Refuses a file that has ended the transaction, and drops what that has left behind.
pub(crate) async fn require_transaction(
    client: &Client,
    begun: &str,
    file: &str,
    scratch: &Prefix,
) -> Result<(), Error> {
    if transaction(client).await? == begun {
        return Ok(());
    }
    client.batch_execute("rollback").await.map_err(query("take the trial back"))?;
    sweep(client, scratch).await?;
    let reason = "the file ends the transaction in which it is tried: an agent is built in one";
    Err(Error::Stray { at: file.to_owned(), reason: reason.to_owned() })
}

/// Makes the foreign keys of a scratch agent; what has run.
///
/// That agent has no row in `agents`, so first rows that refer to it have no partner. Where the server refuses a key for
/// that alone, the tables that get keys are emptied first. For a row that refers to another agent it stays refused.
pub(crate) async fn add_keys(
    client: &Client,
    key: Script,
    scratch: &Prefix,
    id: AgentId,
) -> Result<Script, Error> {
    if key.is_empty() {
        return Ok(key);
    }
    lock_referenced(client, &key, scratch).await?;
    let refused = match apply_or_take_back(client, &key).await? {
        Ok(()) => return Ok(key),
        Err(refused) => refused,
    };
    if refused.code() != Some(&SqlState::FOREIGN_KEY_VIOLATION)
        || !lacks_only_agent(client, &key, id).await?
    {
        return Err(refused);
    }
    let keys = key.places().into_iter().filter_map(|place| AgentsKey::parse(&place.text));
    let tables: Vec<String> = keys.filter_map(|key| key.table()).collect();
    let mut script = Script::of(empty(client, scratch, &tables).await?);
    script.append(key);
    apply_or_take_back(client, &script).await?.map_or(Err(refused), |()| Ok(script))
}

/// The statements that empty these tables and those that refer to them. What an owner may do is as before in the end.
async fn empty(client: &Client, scratch: &Prefix, tables: &[String]) -> Result<String, Error> {
    let sql = include_str!("../../sql/templates/untruncatable.sql");
    let rows = client.query_typed(sql, &[(&format!("{scratch}_"), Type::TEXT)]).await;
    let rows = rows.map_err(query("look at what the owner of first rows may do"))?;
    let statements = |row: &Row| -> (String, String) { (row.get("before"), row.get("after")) };
    let (before, after) = rows.first().map(statements).unwrap_or_default();
    let tables = tables.join(", ");
    Ok(format!("set constraints all immediate;\n{before}truncate table {tables} cascade{after};\n"))
}

/// Whether all rows are right but for an agent that is not there: those that refer to an agent refer to this one, and the other
/// keys hold.
async fn lacks_only_agent(client: &Client, key: &Script, id: AgentId) -> Result<bool, Error> {
    let checks = key.places().into_iter().map(|place| match AgentsKey::parse(&place.text) {
        Some(key) => key.check_rows(id),
        None => Some(place.text),
    });
    let Some(checks) = checks.collect::<Option<Vec<_>>>() else { return Ok(false) };
    let failed = || query("look at first rows");
    client.batch_execute("savepoint first_rows").await.map_err(failed())?;
    let holds = apply(client, &Script::of(checks.join(";\n"))).await.is_ok();
    let back = "rollback to savepoint first_rows; release savepoint first_rows";
    client.batch_execute(back).await.map_err(failed())?;
    Ok(holds)
}

/// Drops what stands under a scratch prefix outside of a trial: nothing, but for a trial that was committed.
pub(crate) async fn sweep(client: &Client, scratch: &Prefix) -> Result<(), Error> {
    let failed = || query("drop what a trial has left behind");
    let sql = include_str!("../../sql/templates/sweep.sql");
    let rows = client.query_typed(sql, &[(&format!("{scratch}_"), Type::TEXT)]).await;
    for row in rows.map_err(failed())? {
        client.batch_execute(row.get(0)).await.map_err(failed())?;
    }
    Ok(())
}

/// Settings by name, and whether each was made in the session.
#[derive(Debug)]
pub(crate) struct Settings(BTreeMap<String, (String, bool)>);

impl Settings {
    pub(crate) async fn read(client: &Client) -> Result<Self, Error> {
        let sql = include_str!("../../sql/templates/settings.sql");
        let rows = client.query_typed(sql, &[]).await.map_err(query("look at the settings"))?;
        let setting = |row: &Row| (row.get(0), (row.get(1), row.get(2)));
        Ok(Self(rows.iter().map(setting).collect()))
    }

    /// A setting that was made since, or taken back.
    pub(crate) fn changed(&self, since: &Self) -> Option<&str> {
        self.0.keys().map(String::as_str).find(|name| self.differs(since, name))
    }

    /// Whether this one was.
    pub(crate) fn differs(&self, since: &Self, name: &str) -> bool {
        let made = |of: &Self| of.0.get(name).is_some_and(|(_, made)| *made);
        let value = |of: &Self| of.0.get(name).map(|(value, _)| value.clone());
        value(self) != value(since) && (made(self) || made(since))
    }
}

/// What the place of is sought.
#[derive(Debug)]
pub(crate) enum Sought<'a> {
    /// And whether foreign keys to `agents` are none.
    Stray(&'a Stray, bool),
    /// A table of that name.
    Table(&'a str),
    /// A table of that name by which no agent could be deleted.
    Undeletable(&'a str),
    /// A setting that is not as it was.
    Setting(&'a Settings, &'a str),
}

impl Sought<'_> {
    async fn is_there(&self, client: &Client, scratch: &Prefix) -> Result<bool, Error> {
        Ok(match self {
            Self::Stray(one, keyed) => stray::read(client, scratch, *keyed).await?.contains(one),
            Self::Table(name) => {
                let (tables, _) = scratch::made(client, scratch).await?;
                tables.names.iter().any(|made| made == name)
            }
            Self::Undeletable(name) => {
                let found = undeletable::find(client, scratch).await?;
                found.is_some_and(|found| found.name == *name)
            }
            Self::Setting(before, name) => Settings::read(client).await?.differs(before, name),
        })
    }
}

/// The place of the first statement after which something is there, given that it is there after all of them.
///
/// The script runs again from the savepoint, in ever smaller parts; what comes before it, at once.
pub(crate) async fn first(
    client: &Client,
    scratch: &Prefix,
    [before, script]: [&Script; 2],
    savepoint: &str,
    sought: &Sought<'_>,
) -> Result<String, Error> {
    let failed = || query("try the templates again");
    let back = format!("rollback to savepoint {savepoint}");
    client.batch_execute(&back).await.map_err(failed())?;
    for script in [before, script] {
        lock_referenced(client, script, scratch).await?;
    }
    apply(client, before).await?;
    let singles = script.singles();
    let mut left = singles.as_slice();
    while left.len() > 1 {
        let (part, rest) = left.split_at(left.len() / 2);
        client.batch_execute("savepoint part").await.map_err(failed())?;
        let mut joined = Script::default();
        for (_, statement) in part {
            joined.append(statement.clone());
        }
        apply(client, &joined).await?;
        let (found, end) = if sought.is_there(client, scratch).await? {
            (part, "rollback to savepoint part; release savepoint part")
        } else {
            (rest, "release savepoint part")
        };
        client.batch_execute(end).await.map_err(failed())?;
        left = found;
    }
    Ok(left.first().map_or_else(|| "the set".to_owned(), |(at, _)| at.clone()))
}

#[cfg(test)]
mod tests {
    use tokio_postgres::NoTls;

    use super::*;
    use crate::dev_server::{DevServer, SUPERUSER};
    use crate::templates::scratch::scratch_prefix;

    async fn try_endings(client: Client) {
        let scratch = scratch_prefix().unwrap();
        let make = format!(
            "create type public.{scratch}_t as enum ('a'); create table public.{scratch}_a (a public.{scratch}_t)"
        );
        for (ending, ends) in [
            ("savepoint a; release savepoint a", false),
            ("savepoint a; rollback to a", false),
            ("commit", true),
            ("commit and chain", true),
            ("commit; begin", true),
        ] {
            client.batch_execute("begin").await.unwrap();
            let begun = transaction(&client).await.unwrap();
            client.batch_execute(&format!("{make}; {ending}")).await.unwrap();
            let checked = require_transaction(&client, &begun, "0001_a.sql", &scratch).await;
            match checked {
                Err(Error::Stray { at, .. }) => assert!(ends && at == "0001_a.sql", "{ending}"),
                checked => assert!(!ends && checked.is_ok(), "{ending}"),
            }
            client.batch_execute("rollback").await.unwrap();
            let left = format!("select count(*) from pg_type where typname ~ '{scratch}'");
            let left: i64 = client.query_one(&left, &[]).await.unwrap().get(0);
            assert_eq!(left, 0, "{ending}");
        }
    }

    #[tokio::test]
    async fn a_trial_that_was_committed_is_told_and_leaves_nothing_behind() {
        let server = DevServer::start(&[]).unwrap();
        let url = server.url(SUPERUSER, "postgres");
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        let (driven, ()) = tokio::join!(connection, try_endings(client));
        driven.unwrap();
    }
}
