//! Agents as an operator sees them, and their tables.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row};

use crate::queue::Kind;

/// An agent, or what a former one has left.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct Agent {
    pub(crate) prefix: String,
    pub(crate) id: i64,
    /// In the words and by the rules of `public.agent_status`.
    pub(crate) state: String,
    /// Whether its row is in `public.agents`.
    pub(crate) alive: bool,
    pub(crate) template_version: Option<i32>,
    pub(crate) reference: Option<String>,
    /// Whether a deletion has taken that key off and is not done.
    pub(crate) key_removed: bool,
    pub(crate) provisioned_at: Option<String>,
    /// When it was found to differ from the templates, where it did when it was last compared.
    pub(crate) drifted_since: Option<String>,
    /// Registered ones that exist.
    #[serde(rename = "table_count")]
    pub(crate) tables: i64,
    /// Those of them that somebody renamed or moved.
    pub(crate) displaced: Vec<Displaced>,
    pub(crate) last_job: Option<Job>,
}

/// A registered table that bears another name, or stands in another schema.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub(crate) struct Displaced {
    /// As it is registered.
    pub(crate) table: String,
    /// What was done to it, in the words of `public.agent_status`.
    pub(crate) displacement: String,
}

/// The agent's latest job.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct Job {
    pub(crate) id: i64,
    pub(crate) kind: Kind,
    /// As the table has it.
    pub(crate) state: String,
    /// Of its last attempt that failed.
    pub(crate) error: Option<String>,
    /// A code of this program, or of a newer one: see docs/schema.md.
    pub(crate) error_code: Option<String>,
    pub(crate) sqlstate: Option<String>,
}

/// A registered table.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct Table {
    pub(crate) name: String,
    /// Under that name, in schema public.
    pub(crate) present: bool,
    /// What somebody did to one that is elsewhere, in the words of `public.agent_status`; null also for one that is gone.
    pub(crate) displacement: Option<String>,
    /// With indexes and TOAST; null while the tables are locked.
    pub(crate) bytes: Option<i64>,
    /// The planner's estimate; null before the first ANALYZE.
    pub(crate) rows: Option<i64>,
}

/// All agents by prefix, or those of one prefix; of several with one prefix, the latest first.
pub(crate) async fn agents(client: &Client, prefix: Option<&str>) -> Result<Vec<Agent>, Error> {
    let sql = include_str!("../../../sql/queue/admin/agent_view.sql");
    let rows = client.query_typed(sql, &[(&prefix, Type::TEXT)]).await?;
    rows.iter().map(Agent::read).collect()
}

/// An agent's tables, in the order of their making.
pub(crate) async fn tables(client: &Client, agent: i64) -> Result<Vec<Table>, Error> {
    let sql = include_str!("../../../sql/queue/admin/agent_view_tables.sql");
    let ask = |measure: bool| async move {
        client.query_typed(sql, &[(&agent, Type::INT8), (&measure, Type::BOOL)]).await
    };
    let rows = match ask(true).await {
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => ask(false).await?,
        measured => measured?,
    };
    let read = |row: &Row| {
        Ok(Table {
            name: row.try_get("table_name")?,
            present: row.try_get("present")?,
            displacement: row.try_get("displacement")?,
            bytes: row.try_get("bytes")?,
            rows: row.try_get("rows")?,
        })
    };
    rows.iter().map(read).collect()
}

impl Agent {
    fn read(row: &Row) -> Result<Self, Error> {
        let last_job = match row.try_get("job_id")? {
            Some(id) => Some(Job {
                id,
                kind: row.try_get("job_kind")?,
                state: row.try_get("job_state")?,
                error: row.try_get("job_error")?,
                error_code: row.try_get("job_error_code")?,
                sqlstate: row.try_get("job_sqlstate")?,
            }),
            None => None,
        };
        Ok(Self {
            prefix: row.try_get("agent_prefix")?,
            id: row.try_get("agent_id")?,
            state: row.try_get("state")?,
            alive: row.try_get("alive")?,
            template_version: row.try_get("template_version")?,
            reference: row.try_get("reference")?,
            key_removed: row.try_get("key_removed")?,
            provisioned_at: row.try_get("provisioned_at")?,
            drifted_since: row.try_get("drifted_since")?,
            tables: row.try_get("tables")?,
            displaced: serde_json::from_str(row.try_get("displaced")?).unwrap_or_default(),
            last_job,
        })
    }
}
