//! The role that owns agents' tables.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::error::{Error, query};
use crate::agent::AgentId;

/// Who is to own agents' tables, quoted.
pub async fn worker_role(client: &Client) -> Result<String, Error> {
    let rows = client.query_typed(include_str!("../../sql/templates/worker_role.sql"), &[]).await;
    let rows = rows.map_err(query("look for the worker's role"))?;
    Ok(rows.first().map(|row| row.get(0)).unwrap_or_default())
}

/// Makes what the transaction makes from here on the worker's, as far as the caller may act for the worker's role, and
/// as far as all tables of the agent are the worker's. [`act_as_oneself`] ends it, and so does a rollback to a savepoint.
pub(crate) async fn act_as_worker(client: &Client, agent: Option<AgentId>) -> Result<(), Error> {
    let sql = include_str!("../../sql/templates/act_as_worker.sql");
    let agent = agent.map(|agent| agent.0);
    let changed = client.query_typed(sql, &[(&agent, Type::INT8)]).await;
    changed.map(drop).map_err(query("act as the worker's role"))
}

pub(crate) async fn act_as_oneself(client: &Client) -> Result<(), Error> {
    let back = client.batch_execute("set local role none").await;
    back.map_err(query("act as oneself again"))
}
