//! Bringing a deleted agent back from the trash, in a transaction that the caller opened.
//!
//! The caller is an operator who may write to `agents`; the tables are handled in their owner's role.

use serde::Serialize;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::Prefix;
use super::error::{Error, query};
use super::shared_lock::{self, AGENTS, LockMode};

/// A deleted agent that can still be restored.
#[derive(Clone, Debug, Serialize)]
pub struct Trashed {
    /// Its number in the trash.
    pub item: i64,
    /// As it was, and will be again.
    #[serde(rename = "prefix")]
    pub agent_prefix: String,
    /// The same.
    #[serde(rename = "id")]
    pub agent_id: i64,
    /// RFC 3339, in UTC, as all times.
    pub trashed_at: String,
    /// From then on it may be gone at any moment.
    pub purge_at: String,
    /// That are there.
    pub tables: i64,
    #[serde(skip)]
    keyed: bool,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Restored {
    /// In this order.
    pub statements: Vec<String>,
    /// What could not be given back, and why: a role or publication may be gone by now.
    pub left: Vec<(String, tokio_postgres::Error)>,
    /// Its user is gone, or has another agent by now.
    pub orphaned: bool,
}

impl Trashed {
    /// Everything in the trash, or what is there of one prefix, the latest first.
    pub async fn read(client: &Client, prefix: Option<&Prefix>) -> Result<Vec<Self>, Error> {
        let sql = include_str!("../../sql/queries/trash_list.sql");
        let prefix = prefix.map(Prefix::as_str);
        let rows = client.query_typed(sql, &[(&prefix, Type::TEXT)]).await;
        Ok(rows.map_err(query("look into the trash"))?.iter().map(Self::from_row).collect())
    }

    fn from_row(row: &Row) -> Self {
        Self {
            item: row.get("item"),
            agent_prefix: row.get("agent_prefix"),
            agent_id: row.get("agent_id"),
            trashed_at: row.get("trashed_at"),
            purge_at: row.get("purge_at"),
            tables: row.get("tables"),
            keyed: row.get::<_, &str>("reference") == "foreign_key",
        }
    }
}

/// Gives an agent its row, tables, registration and WhatsApp configuration back. `None`: it has left
/// the trash.
pub async fn restore(client: &Client, trashed: &Trashed) -> Result<Option<Restored>, Error> {
    if trashed.keyed {
        // First: taken in the middle it could deadlock with who writes to agents.
        let agents = [AGENTS.to_owned()];
        shared_lock::lock_patiently(client, LockMode::ShareRowExclusive, &agents).await?;
    }
    let sql = include_str!("../../sql/queries/restore.sql");
    let rows = client.query_typed(sql, &[(&trashed.item, Type::INT8)]).await;
    let rows = rows.map_err(query("restore the agent's row"))?;
    let Some(row) = rows.first() else { return Ok(None) };
    let role = format!("set local role {}", row.get::<_, Option<&str>>("owner").unwrap_or("none"));
    let mut statements = vec![role.clone()];
    statements.extend(row.get::<_, Vec<String>>("statements"));
    let moved = client.batch_execute(&statements.join(";\n")).await;
    moved.map_err(query("move the agent's tables back"))?;
    let (savepoint, mut left) = (format!("savepoint regain; {role}"), Vec::new());
    for statement in row.get::<_, Vec<String>>("regain") {
        // One by one, which the server sees to: they are the tables' owner's words, not the caller's.
        let (prepared, done) = tokio::join!(
            biased;
            client.batch_execute(&savepoint),
            async { client.execute_typed(&statement, &[]).await },
        );
        prepared.map_err(query("open a savepoint"))?;
        let end = if done.is_ok() { "" } else { "rollback to savepoint regain; " };
        let ended = client.batch_execute(&format!("{end}release savepoint regain")).await;
        ended.map_err(query("give back what the agent had"))?;
        match done {
            Ok(_) => statements.push(statement),
            Err(error) => left.push((statement, error)),
        }
    }
    let tell = "select pg_notify('pgrst', 'reload schema')";
    client.batch_execute(tell).await.map_err(query("tell the API"))?;
    Ok(Some(Restored { statements, left, orphaned: row.get("orphaned") }))
}
