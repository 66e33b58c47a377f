//! What the registry knows of agents, and how that compares with the catalog.

use std::collections::HashMap;

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::drift::{Drift, add_removed, compare};
use super::error::{Error, query};
use super::keys::keys_off;
use super::object::Object;
use super::{Agent, AgentId, Manifest, Reference, catalog};

/// A registered agent.
#[derive(Clone, Debug)]
pub struct Built {
    /// Whose.
    pub agent: Agent,
    /// Of the last template file that was run for it.
    pub version: i32,
    /// What ties it to `agents`.
    pub reference: Reference,
    pub(super) tables: Vec<u32>,
    pub(super) types: Vec<u32>,
}

impl Built {
    /// The registered agents of these prefixes, or all, by prefix.
    pub async fn read(client: &Client, prefixes: Option<&[&str]>) -> Result<Vec<Self>, Error> {
        let sql = include_str!("../../sql/queries/built.sql");
        let rows = client.query_typed(sql, &[(&prefixes, Type::TEXT_ARRAY)]).await;
        rows.map_err(query("read the registry"))?.iter().map(Self::from_row).collect()
    }

    fn from_row(row: &Row) -> Result<Self, Error> {
        let unreadable = || query("read the registry");
        let text = |name| row.try_get::<_, &str>(name).map_err(unreadable());
        let id = AgentId(row.try_get("agent_id").map_err(unreadable())?);
        Ok(Self {
            agent: Agent { id, prefix: text("agent_prefix")?.parse()? },
            version: row.try_get("template_version").map_err(unreadable())?,
            reference: text("reference")?.parse()?,
            tables: row.try_get("tables").map_err(unreadable())?,
            types: row.try_get("types").map_err(unreadable())?,
        })
    }
}

/// Registers what was just made for a registered agent, by its new oids, and forgets what is gone.
/// Does nothing for an agent that is not registered.
pub(super) async fn register(
    client: &Client,
    manifest: &Manifest,
    agent: &Agent,
    version: i32,
) -> Result<(), Error> {
    let tables = manifest.tables(&agent.prefix, version);
    let types = manifest.types(&agent.prefix, version);
    let parameters: [(&(dyn ToSql + Sync), Type); 3] =
        [(&agent.id.0, Type::INT8), (&tables, Type::TEXT_ARRAY), (&types, Type::TEXT_ARRAY)];
    let registered =
        client.query_typed("select provisioning.register($1, $2, $3)", &parameters).await;
    registered.map(drop).map_err(query("register the agent's tables"))
}

/// How these agents differ from what their template version makes, in their order; an agent that is
/// as it should be differs in nothing. One query for all. Needs an open transaction.
pub async fn drift(
    client: &Client,
    manifest: &Manifest,
    agents: &[Built],
) -> Result<Vec<Vec<Drift>>, Error> {
    let mut expected = Vec::with_capacity(agents.len());
    for Built { agent, version, reference, .. } in agents {
        expected.push(manifest.objects(client, agent, *version, *reference).await?);
    }
    let tables: Vec<u32> = agents.iter().flat_map(|built| &built.tables).copied().collect();
    let types: Vec<u32> = agents.iter().flat_map(|built| &built.types).copied().collect();
    let mut found: HashMap<u32, Vec<Object>> = HashMap::new();
    for (oid, object) in catalog::read(client, &tables, &types).await? {
        found.entry(oid).or_default().push(object);
    }
    let ids: Vec<i64> = agents.iter().map(|built| built.agent.id.0).collect();
    let mut off: HashMap<i64, Vec<Drift>> = HashMap::new();
    for key in keys_off(client, &ids).await? {
        off.entry(key.agent).or_default().push(key.drift());
    }
    let mut own = |built: &Built| {
        let oids = built.tables.iter().chain(&built.types);
        oids.filter_map(|oid| found.remove(oid)).flatten().collect()
    };
    let differences = |(built, expected): (&Built, _)| {
        let mut drift = compare(expected, own(built));
        add_removed(&mut drift, off.remove(&built.agent.id.0).unwrap_or_default());
        drift
    };
    Ok(agents.iter().zip(expected).map(differences).collect())
}
