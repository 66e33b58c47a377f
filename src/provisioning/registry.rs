//! What the registry knows of agents, and how that compares with the catalog.

use std::collections::BTreeMap;

use serde::Deserialize;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::error::{Error, Renamed, query};
use crate::agent::{Agent, AgentId, Reference};
use crate::templates::ExpectedSchema;

/// What `provisioning.register` raises where the registry did not take a row.
const NOT_TAKEN: &str = "AP001";

/// Agents that a statement reads: each is short, however many agents there are.
const PAGE: i64 = 2_000;

/// A registered agent.
#[derive(Clone, Debug)]
pub(crate) struct RegisteredAgent {
    /// Whose.
    pub agent: Agent,
    /// Of the last template file that was run for it.
    pub version: i32,
    /// What ties it to `agents`.
    pub reference: Reference,
    /// Which version of its row in the registry this was read from: a job that changes the agent writes another one.
    pub(crate) row_version: String,
    pub(crate) tables: Vec<u32>,
    pub(crate) types: Vec<u32>,
    /// Registered tables and types that bear another name, or stand in another schema.
    pub(crate) displaced: Vec<Displaced>,
}

/// A registered table or type that was renamed, or moved to another schema.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Displaced {
    /// As the registry has it, bare.
    pub name: String,
    /// The same, qualified and quoted.
    pub wanted: String,
    /// Where it is, qualified and quoted.
    pub now: String,
    /// What was done to it.
    pub displacement: String,
    /// Why no repair gives its name and place back: what has taken them.
    pub obstacle: Option<String>,
    /// The statements that give it its name and place back; what is in the way is renamed first.
    pub back: String,
}

impl From<Displaced> for Renamed {
    fn from(table: Displaced) -> Self {
        Self { name: table.now, once: table.wanted, twin: None, fix: table.back }
    }
}

impl RegisteredAgent {
    /// The registered agents of these prefixes, or all, by prefix.
    pub(crate) async fn read(
        client: &Client,
        prefixes: Option<&[&str]>,
    ) -> Result<Vec<Self>, Error> {
        let sql = include_str!("../../sql/provisioning/registry.sql");
        let mut read: Vec<Self> = Vec::new();
        loop {
            let after = read.last().map_or("", |last| last.agent.prefix.as_str());
            let parameters: [(&(dyn ToSql + Sync), Type); 3] =
                [(&prefixes, Type::TEXT_ARRAY), (&after, Type::TEXT), (&PAGE, Type::INT8)];
            let rows = client.query_typed(sql, &parameters).await;
            let rows = rows.map_err(query("read the registry"))?;
            if rows.is_empty() {
                return Ok(read);
            }
            for row in &rows {
                read.push(Self::from_row(row)?);
            }
        }
    }

    fn from_row(row: &Row) -> Result<Self, Error> {
        let unreadable = || query("read the registry");
        let text = |name| row.try_get::<_, &str>(name).map_err(unreadable());
        let id = AgentId(row.try_get("agent_id").map_err(unreadable())?);
        Ok(Self {
            agent: Agent { id, prefix: text("agent_prefix")?.parse()? },
            version: row.try_get("template_version").map_err(unreadable())?,
            reference: text("reference")?.parse()?,
            row_version: text("row_version")?.to_owned(),
            tables: row.try_get("tables").map_err(unreadable())?,
            types: row.try_get("types").map_err(unreadable())?,
            displaced: serde_json::from_str(text("displaced")?).unwrap_or_default(),
        })
    }
}

/// How many agents are at which template version.
pub(crate) fn versions(of_agents: impl Iterator<Item = i32>) -> BTreeMap<i32, usize> {
    let mut versions = BTreeMap::new();
    for version in of_agents {
        *versions.entry(version).or_default() += 1;
    }
    versions
}

/// Registers what this transaction has made for a registered agent, and forgets what is gone. What another one has made
/// under such a name is left alone. Does nothing for an agent that is not registered.
pub(crate) async fn register(
    client: &Client,
    expected_schema: &ExpectedSchema,
    agent: &Agent,
    version: i32,
) -> Result<(), Error> {
    let tables = expected_schema.tables(&agent.prefix, version);
    let types = expected_schema.types(&agent.prefix, version);
    let parameters: [(&(dyn ToSql + Sync), Type); 3] =
        [(&agent.id.0, Type::INT8), (&tables, Type::TEXT_ARRAY), (&types, Type::TEXT_ARRAY)];
    let registered =
        client.query_typed("select provisioning.register($1, $2, $3)", &parameters).await;
    registered.map(drop).map_err(|error| match error.code() {
        Some(code) if code.code() == NOT_TAKEN => Error::Swallowed("provisioning.agent_tables"),
        _ => query("register the agent's tables")(error),
    })
}
