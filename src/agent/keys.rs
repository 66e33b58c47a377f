//! Foreign keys of an agent's tables to tables that stay when the agent goes.
//!
//! To take such a key off, or to drop its table, locks the table that it refers to against everybody.
//! So a deletion takes the keys off first, one table that they refer to at a time, each in a short
//! transaction of its own. The registry keeps what was taken off, and a restore gives it back.

use std::slice;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::AgentId;
use super::error::{Error, query, written};
use super::shared_lock::{LockMode, lock};

/// One of them.
#[derive(Debug)]
pub(super) struct Key {
    relation: String,
    name: String,
    /// Qualified and quoted, as the others.
    refers_to: String,
    /// For the registry.
    entry: String,
}

/// The agent's keys.
pub(super) async fn read(client: &Client, id: AgentId) -> Result<Vec<Key>, Error> {
    let sql = include_str!("../../sql/queries/living_keys.sql");
    let rows = client.query_typed(sql, &[(&id.0, Type::INT8)]).await;
    Ok(rows.map_err(query("look for foreign keys"))?.iter().map(Key::from_row).collect())
}

/// Takes off those of the keys that refer to the first one's table; `false`: there is none. Gives way at
/// once to whoever uses one of the agent's tables that has such a key.
pub(super) async fn take_off(client: &Client, id: AgentId, keys: &[Key]) -> Result<bool, Error> {
    let Some(first) = keys.first() else { return Ok(false) };
    let keys: Vec<&Key> = keys.iter().filter(|key| key.refers_to == first.refers_to).collect();
    let drops: Vec<String> = keys.iter().map(|key| key.drop()).collect();
    let drops = drops.join(";\n");
    let entries: Vec<&str> = keys.iter().map(|key| key.entry.as_str()).collect();
    let record = include_str!("../../sql/queries/removed_keys.sql");
    let own: Vec<String> = keys.iter().map(|key| key.relation.clone()).collect();
    // One round trip, since the table that the keys refer to is locked until the commit.
    let (recorded, locked, dropped) = tokio::join!(
        biased;
        async {
            client
                .execute_typed(record, &[(&id.0, Type::INT8), (&entries, Type::TEXT_ARRAY)])
                .await
        },
        // First, and the agent's tables behind it: taken in the middle it would deadlock with who reads
        // agents and then uses a table.
        lock(client, LockMode::AccessExclusive, slice::from_ref(&first.refers_to), &own),
        client.batch_execute(&drops),
    );
    let recorded = recorded.map_err(query("record the removed foreign keys"))?;
    locked?;
    dropped.map_err(query("take the foreign keys off"))?;
    written(recorded, "provisioning.agents")?;
    Ok(true)
}

impl Key {
    fn from_row(row: &Row) -> Self {
        Self {
            relation: row.get("relation"),
            name: row.get("key"),
            refers_to: row.get("refers_to"),
            entry: row.get("entry"),
        }
    }

    fn drop(&self) -> String {
        let Self { relation, name, .. } = self;
        format!("alter table {relation} drop constraint if exists {name}")
    }
}
