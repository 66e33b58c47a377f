//! An agent's row in `agents`, as the worker looks at it and holds it.

use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::error::{Error, proof, query};
use crate::agent::{Agent, AgentId};

/// Whether the agent's row exists. Row security cannot hide it: it makes this fail.
///
/// Leaves no lock on `agents` behind: two transactions that have one and ask for an exclusive one would wait
/// for each other.
pub(crate) async fn is_alive(client: &Client, id: AgentId) -> Result<bool, Error> {
    let sql = "select from provisioning.living_agents(array[$1])";
    let (begun, rows, ended) = tokio::join!(
        biased;
        client.batch_execute("savepoint look"),
        async { client.query_typed(sql, &[(&id.0, Type::INT8)]).await },
        client.batch_execute("rollback to savepoint look; release savepoint look"),
    );
    begun.map_err(query("open a savepoint"))?;
    let alive = !rows.map_err(proof("look for the agent's row"))?.is_empty();
    ended.map_err(query("give the lock on agents back"))?;
    Ok(alive)
}

/// Keeps an agent from being deleted before the commit; whether it is still there. Where `agents` is
/// locked nobody can delete it, and a wait for its row would be everybody's.
pub(crate) async fn hold(client: &Client, agent: &Agent, locked: bool) -> Result<bool, Error> {
    let sql = if locked {
        "select exists (select from provisioning.living_agents(array[$1]) a where a.agent_prefix = $2)"
    } else {
        "select provisioning.hold_agent($1, $2)"
    };
    let parameters: [(&(dyn ToSql + Sync), Type); 2] =
        [(&agent.id.0, Type::INT8), (&agent.prefix.as_str(), Type::TEXT)];
    let rows = client.query_typed(sql, &parameters).await;
    let rows = rows.map_err(query("hold the agent's row"))?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}
