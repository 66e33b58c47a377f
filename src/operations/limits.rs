//! How many agents a database has room for: what grows with their number, and what is reached first.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::error::Error;
use crate::postgres::query;

/// Agents that are named as the largest.
const LARGEST: i64 = 5;

/// What a database has room for.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct Room {
    /// What is reached first comes first.
    pub limits: Vec<Limit>,
    /// As far as the last VACUUM or ANALYZE of their tables saw it.
    pub largest: Vec<LargeAgent>,
}

/// One thing that grows with the number of agents.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct Limit {
    /// `pg_dump_locks`, `foreign_keys`, `catalog`, `session_caches` or `api_reload`.
    pub what: String,
    pub used: i64,
    /// Beyond this it fails, or gets slow.
    pub most: i64,
    /// `locks`, `agents`, `bytes` or `milliseconds`.
    pub unit: String,
    /// About so many agents reach it.
    pub agents: i64,
    /// What happens then.
    pub then: &'static str,
    /// What gives twice as much room.
    pub doubled_by: String,
}

#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct LargeAgent {
    pub prefix: String,
    /// On disk, with indexes.
    pub bytes: i64,
}

impl Limit {
    /// Seven tenths of it are used, or more.
    pub(crate) fn is_near(&self) -> bool {
        self.used.saturating_mul(10) >= self.most.saturating_mul(7)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agents, then, .. } = self;
        write!(f, "for about {agents} agent{}: beyond, {then}", if *agents == 1 { "" } else { "s" })
    }
}

/// Looks at the whole catalog: of ten thousand agents that takes the server a part of a second.
pub(crate) async fn read(client: &Client) -> Result<Room, Error> {
    let doing = || query("look how much room there is for agents");
    let sql = include_str!("../../sql/operations/limits.sql");
    let limits = client.query_typed(sql, &[]).await.map_err(doing())?;
    let sql = include_str!("../../sql/operations/largest_agents.sql");
    let largest = client.query_typed(sql, &[(&LARGEST, Type::INT8)]).await.map_err(doing())?;
    let large = |row: &Row| LargeAgent { prefix: row.get("agent_prefix"), bytes: row.get("bytes") };
    Ok(Room {
        limits: limits.iter().map(limit).collect(),
        largest: largest.iter().map(large).collect(),
    })
}

fn limit(row: &Row) -> Limit {
    let what: String = row.get("what");
    let twice: Option<String> = row.get("twice");
    let (then, doubled_by) = consequence(&what, &twice.unwrap_or_default());
    let (used, most, agents) = (row.get("used"), row.get("most"), row.get("agents"));
    Limit { what, used, most, unit: row.get("unit"), agents, then, doubled_by }
}

/// What happens at the end of a limit, and what gives twice as much room.
fn consequence(what: &str, twice: &str) -> (&'static str, String) {
    let (then, doubled_by) = match what {
        "pg_dump_locks" => (
            "pg_dump fails with \"out of shared memory\"",
            "alter system set max_locks_per_transaction = {};, then restart the server",
        ),
        "foreign_keys" => (
            "a deletion of an agent fails with \"out of shared memory\"",
            "set reference = \"check\", then: agent-provisioner agents convert --reference check",
        ),
        "catalog" => (
            "the catalog does not fit into shared_buffers, and each statement waits for it",
            "alter system set shared_buffers = '{}';, then restart the server",
        ),
        "session_caches" => (
            "sessions that know all agents' tables need more memory than effective_cache_size says there is",
            "halve the pools of the API and of poolers, or let their sessions end sooner (db-pool-max-lifetime, server_lifetime)",
        ),
        _ => (
            "PostgREST answers 404 for new tables for two seconds after each change",
            "put the next agents into another database",
        ),
    };
    (then, doubled_by.replace("{}", twice))
}
