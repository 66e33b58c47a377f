//! Agents and their tables, as an operator sees them.

use schemars::JsonSchema;
use serde::Serialize;

use super::error::Error;
use crate::postgres::query;
use crate::queue::admin;
use crate::service::Instance;

pub(crate) use crate::queue::admin::{Agent, Displaced, Table};

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
