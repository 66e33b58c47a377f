//! Agents and their tables, as an operator sees them.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use super::error::Error;
use crate::postgres::query;
use crate::queue::admin;
use crate::service::Instance;

pub(crate) use crate::queue::admin::{Agent, AgentDetail, Displaced, ListedAgent, Table};

/// An agent with all that is known of it.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Shown {
    #[serde(flatten)]
    pub agent: Agent,
    pub tables: Vec<Table>,
}

/// All agents by prefix; those without tables, and tables without an agent, are among them.
pub(crate) async fn list(instance: &Instance) -> Result<Vec<Agent>, Error> {
    let client = instance.current().await?;
    Ok(admin::agents(&client, None).await.map_err(query("list the agents"))?)
}

/// The same of very many, with less of each. Of these agents a table was renamed or moved, see [`displaced`].
pub(crate) async fn overview(
    instance: &Instance,
    displaced: &BTreeSet<i64>,
) -> Result<Vec<ListedAgent>, Error> {
    let client = instance.current().await?;
    Ok(admin::agent_list(&client, displaced).await.map_err(query("list the agents"))?)
}

/// What a page of that list shows beside it, by agent.
pub(crate) async fn details(
    instance: &Instance,
    agents: &[i64],
) -> Result<BTreeMap<i64, AgentDetail>, Error> {
    let client = instance.current().await?;
    Ok(admin::agent_details(&client, agents).await.map_err(query("look at the agents"))?)
}

/// Agents of which a table was renamed or moved. A look at the whole catalog.
pub(crate) async fn displaced(instance: &Instance) -> Result<BTreeSet<i64>, Error> {
    let client = instance.current().await?;
    Ok(admin::displaced(&client).await.map_err(query("look for tables that were renamed"))?)
}

/// Bytes by agent. A look at the whole catalog.
pub(crate) async fn sizes(instance: &Instance) -> Result<BTreeMap<i64, i64>, Error> {
    let client = instance.current().await?;
    Ok(admin::agent_sizes(&client).await.map_err(query("look at the sizes of the agents"))?)
}

/// The last job of each agent that is registered.
pub(crate) async fn last_jobs(instance: &Instance) -> Result<BTreeMap<i64, i64>, Error> {
    let client = instance.current().await?;
    Ok(admin::last_jobs(&client).await.map_err(query("look for the agents' last jobs"))?)
}

/// What stands for a prefix: two agents while the former one is being deleted.
pub(crate) async fn show(instance: &Instance, prefix: &str) -> Result<Vec<Shown>, Error> {
    let client = instance.current().await?;
    let mut shown = Vec::new();
    for agent in admin::agents(&client, Some(prefix)).await.map_err(query("read the agent"))? {
        let tables = admin::tables(&client, agent.id).await.map_err(query("read the agent"))?;
        shown.push(Shown { agent, tables });
    }
    if shown.is_empty() { Err(Error::NoAgent(prefix.to_owned())) } else { Ok(shown) }
}
