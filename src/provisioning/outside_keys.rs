//! Foreign keys of an agent's tables to tables that stay when the agent goes.
//!
//! To take such a key off, or to drop its table, locks the table that it refers to against everybody.
//! So a deletion takes the keys off first, one table that they refer to at a time, each in a short
//! transaction of its own. The registry keeps what was taken off until it is back: a restore and a repair
//! give it back.
//!
//! To add a key locks the other table against writers, and to check the rows behind it takes as long as
//! there are rows. So a key comes back `NOT VALID`, and is checked in a transaction of its own, which
//! holds up no writer. Until then it holds for new rows.

use std::slice;

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::error::{Error, query};
use crate::agent::AgentId;
use crate::postgres::{LockMode, lock, lock_patiently, run_each};
use crate::schema::{Change, Difference, Fact, Kind, NOT_VALID};

/// A lock that was not asked for at its turn may keep everybody waiting for so many milliseconds.
const UNASKED_MS: u8 = 20;

/// One of them.
#[derive(Debug)]
pub(crate) struct Key {
    relation: String,
    name: String,
    /// Qualified and quoted, as the others.
    refers_to: String,
    oid: u32,
}

/// The agent's keys.
pub(crate) async fn read(client: &Client, id: AgentId) -> Result<Vec<Key>, Error> {
    let sql = include_str!("../../sql/provisioning/outside_keys.sql");
    let rows = client.query_typed(sql, &[(&id.0, Type::INT8)]).await;
    Ok(rows.map_err(query("look for foreign keys"))?.iter().map(Key::from_row).collect())
}

/// Takes off those of the keys that refer to the first one's table; `false`: there is none. Gives way at
/// once to whoever uses one of the agent's tables that has such a key.
pub(crate) async fn take_off(client: &Client, id: AgentId, keys: &[Key]) -> Result<bool, Error> {
    let Some(first) = keys.first() else { return Ok(false) };
    let keys: Vec<&Key> = keys.iter().filter(|key| key.refers_to == first.refers_to).collect();
    // A table that its owner keeps from us was not to be locked in advance: nobody waits behind us for long.
    let mut drops = vec![format!("set local lock_timeout = {UNASKED_MS}")];
    drops.extend(keys.iter().map(|key| key.drop()));
    let oids: Vec<u32> = keys.iter().map(|key| key.oid).collect();
    let own: Vec<String> = keys.iter().map(|key| key.relation.clone()).collect();
    // One round trip, since the table that the keys refer to is locked until the commit.
    let (recorded, locked, dropped) = tokio::join!(
        biased;
        async {
            let note = "select provisioning.note_keys($1, $2)";
            client.query_typed(note, &[(&id.0, Type::INT8), (&oids, Type::OID_ARRAY)]).await
        },
        // First, and the agent's tables behind it: taken in the middle it would deadlock with who reads
        // agents and then uses a table.
        lock(client, LockMode::AccessExclusive, slice::from_ref(&first.refers_to), &own),
        run_each(client, &drops, "take the foreign keys off"),
    );
    let recorded = recorded.map_err(query("record the removed foreign keys"))?;
    locked?;
    dropped?;
    let recorded = recorded.first().is_some_and(|row| row.get(0));
    if recorded { Ok(true) } else { Err(Error::Swallowed("provisioning.agents")) }
}

impl Key {
    fn from_row(row: &Row) -> Self {
        Self {
            relation: row.get("relation"),
            name: row.get("key"),
            refers_to: row.get("refers_to"),
            oid: row.get("oid"),
        }
    }

    fn drop(&self) -> String {
        let Self { relation, name, .. } = self;
        format!("alter table {relation} drop constraint if exists {name}")
    }
}

/// A key that belongs to an agent's table and is off, or is back and was not checked yet.
#[derive(Clone, Debug)]
pub(crate) struct KeyOff {
    pub(crate) agent: i64,
    entry: String,
    relation: String,
    /// The bare name of the relation.
    table: String,
    key: String,
    refers_to: String,
    definition: String,
    /// Of the relation, quoted.
    owner: Option<String>,
    is_there: bool,
    /// Why a person has to give it back.
    pub obstacle: Option<String>,
    /// For that person; `None` where none helps.
    pub statement: Option<String>,
}

/// The keys that are off these agents' tables.
pub(crate) async fn keys_off(client: &Client, agents: &[i64]) -> Result<Vec<KeyOff>, Error> {
    let sql = include_str!("../../sql/provisioning/outside_keys_off.sql");
    let rows = client.query_typed(sql, &[(&agents, Type::INT8_ARRAY)]).await;
    let rows = rows.map_err(query("look for removed foreign keys"))?;
    Ok(rows.iter().filter_map(KeyOff::from_row).collect())
}

/// Forgets the removed keys that are back as they were.
pub(crate) async fn forget(client: &Client, id: AgentId) -> Result<(), Error> {
    let forgotten =
        client.query_typed("select provisioning.forget_keys($1)", &[(&id.0, Type::INT8)]).await;
    forgotten.map(drop).map_err(query("forget the removed foreign keys"))
}

impl KeyOff {
    fn from_row(row: &Row) -> Option<Self> {
        Some(Self {
            agent: row.get("agent_id"),
            entry: row.get("entry"),
            relation: row.get("relation"),
            table: row.get("table_name"),
            key: row.get("key"),
            refers_to: row.get("refers_to"),
            definition: row.get::<_, Option<String>>("definition")?,
            owner: row.get("owner"),
            is_there: row.get("is_there"),
            obstacle: row.get("obstacle"),
            statement: row.get("statement"),
        })
    }

    /// Adds it for an operator, in the role of the table's owner, and checks no row. The caller commits at once.
    pub(crate) async fn add(&self, client: &Client) -> Result<(), Error> {
        if self.is_there {
            return Ok(());
        }
        let (shared, own) = (slice::from_ref(&self.refers_to), slice::from_ref(&self.relation));
        lock_patiently(client, LockMode::ShareRowExclusive, shared, own).await?;
        let (owner, sql) = (self.as_owner(), "select provisioning.add_key($1::text::jsonb)");
        let (role, added) = tokio::join!(
            biased;
            client.batch_execute(&owner),
            async { client.query_typed(sql, &[(&self.entry, Type::TEXT)]).await },
        );
        role.and(added.map(drop)).map_err(query("give a foreign key back"))
    }

    /// Validates the key for an operator, in the role of the table's owner, if it was valid before. Returns whether every
    /// row has a partner. Forgets removed keys that are back.
    pub(crate) async fn check(&self, client: &Client) -> Result<bool, Error> {
        const DOING: &str = "check the rows behind a foreign key";
        let mut holds = true;
        if !self.definition.ends_with(NOT_VALID) {
            let sql = "select provisioning.validate_key($1::text::regclass, $2)";
            let parameters: [(&(dyn ToSql + Sync), Type); 2] =
                [(&self.relation, Type::TEXT), (&self.key, Type::TEXT)];
            let owner = self.as_owner();
            let (role, checked, back) = tokio::join!(
                biased;
                client.batch_execute(&owner),
                client.query_typed(sql, &parameters),
                client.batch_execute("set local role none"),
            );
            let checked = role.and(checked).map_err(query(DOING))?;
            back.map_err(query(DOING))?;
            holds = checked.first().is_some_and(|row| row.get(0));
        }
        forget(client, AgentId(self.agent)).await?;
        Ok(holds)
    }

    fn as_owner(&self) -> String {
        format!("set local role {}", self.owner.as_deref().unwrap_or("none"))
    }

    /// As a difference from what belongs to the agent.
    pub(crate) fn drift(self) -> Difference {
        let Self { relation, key, definition, .. } = self;
        let change = if self.is_there {
            Change::Differs { found: format!("{definition}{NOT_VALID}") }
        } else {
            Change::Removed { found: None, obstacle: self.obstacle, statement: self.statement }
        };
        let (kind, home) = (Kind::Constraint, self.table);
        let object = Fact { kind, home, relation, part: key, definition, echo: None };
        Difference { object, change }
    }
}
