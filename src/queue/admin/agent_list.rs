//! Very many agents, as a list shows them: what each needs is asked for all at once, or for one page of them.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row};

/// An agent, or what a former one has left.
#[derive(Clone, Debug)]
pub(crate) struct ListedAgent {
    pub(crate) prefix: String,
    pub(crate) id: i64,
    /// In the words and by the rules of `public.agent_status`.
    pub(crate) state: String,
    pub(crate) template_version: Option<i32>,
    pub(crate) provisioned_at: Option<String>,
    /// When it was found to differ from the templates, where it did when it was last compared.
    pub(crate) drifted_since: Option<String>,
}

/// What a page shows beside that.
#[derive(Clone, Debug, Default)]
pub(crate) struct AgentDetail {
    /// Registered ones that exist.
    pub(crate) tables: i64,
    /// With indexes, as the last VACUUM or ANALYZE saw it; `None` before the first.
    pub(crate) bytes: Option<i64>,
    /// Since then, in seconds; of several tables the longest time. `None`: not known.
    pub(crate) measured_age: Option<f64>,
    pub(crate) last_job: Option<LastJob>,
}

/// The agent's latest job.
#[derive(Clone, Debug)]
pub(crate) struct LastJob {
    pub(crate) id: i64,
    pub(crate) kind: String,
    /// As the table has it.
    pub(crate) state: String,
}

/// Agents of which a table was renamed or moved. A look at the whole catalog.
pub(crate) async fn displaced(client: &Client) -> Result<BTreeSet<i64>, Error> {
    let sql = "select distinct agent_id from provisioning.displaced_tables";
    client.query_typed(sql, &[]).await?.iter().map(|row| row.try_get(0)).collect()
}

/// All agents by prefix; of several with one prefix, the latest first.
pub(crate) async fn agent_list(
    client: &Client,
    displaced: &BTreeSet<i64>,
) -> Result<Vec<ListedAgent>, Error> {
    let sql = include_str!("../../../sql/queue/admin/agent_list.sql");
    let displaced: Vec<i64> = displaced.iter().copied().collect();
    let rows = client.query_typed(sql, &[(&displaced, Type::INT8_ARRAY)]).await?;
    let read = |row: &Row| {
        Ok(ListedAgent {
            prefix: row.try_get("agent_prefix")?,
            id: row.try_get("agent_id")?,
            state: row.try_get("state")?,
            template_version: row.try_get("template_version")?,
            provisioned_at: row.try_get("provisioned_at")?,
            drifted_since: row.try_get("drifted_since")?,
        })
    };
    rows.iter().map(read).collect()
}

/// What a page shows of these agents, by their ids.
pub(crate) async fn agent_details(
    client: &Client,
    agents: &[i64],
) -> Result<BTreeMap<i64, AgentDetail>, Error> {
    let sql = include_str!("../../../sql/queue/admin/agent_list_page.sql");
    let rows = client.query_typed(sql, &[(&agents, Type::INT8_ARRAY)]).await?;
    let read = |row: &Row| {
        let last_job = match row.try_get("job_id")? {
            Some(id) => {
                let (kind, state) = (row.try_get("job_kind")?, row.try_get("job_state")?);
                Some(LastJob { id, kind, state })
            }
            None => None,
        };
        let detail = AgentDetail {
            tables: row.try_get("tables")?,
            bytes: row.try_get("bytes")?,
            measured_age: row.try_get("measured_age")?,
            last_job,
        };
        Ok((row.try_get("agent_id")?, detail))
    };
    rows.iter().map(read).collect()
}

/// How much of the disk each agent's tables take, by agent. A look at the whole catalog.
pub(crate) async fn agent_sizes(client: &Client) -> Result<BTreeMap<i64, i64>, Error> {
    by_agent(client, include_str!("../../../sql/queue/admin/agent_list_sizes.sql")).await
}

/// The last job of each agent that is registered.
pub(crate) async fn last_jobs(client: &Client) -> Result<BTreeMap<i64, i64>, Error> {
    by_agent(client, include_str!("../../../sql/queue/admin/agent_list_jobs.sql")).await
}

async fn by_agent(client: &Client, sql: &str) -> Result<BTreeMap<i64, i64>, Error> {
    let rows = client.query_typed(sql, &[]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
