//! What finished lately, for a chart, and the states of the jobs that somebody looks at.

use serde::Deserialize;
use tokio_postgres::types::Type;

use super::error::Error;
use crate::postgres::query;
use crate::service::Instance;

/// The answer of `sql/operations/recent.sql`.
#[derive(Debug, Deserialize)]
pub(crate) struct Recent {
    /// Sixty, the oldest first.
    pub minutes: Vec<Minute>,
    /// Those that were asked for.
    pub jobs: Vec<JobState>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Minute {
    pub succeeded: u32,
    pub dead: u32,
}

#[derive(Debug, Deserialize)]
pub(crate) struct JobState {
    pub id: i64,
    /// As the table has it: a running job is pending.
    pub state: String,
}

/// With the states of these jobs.
pub(crate) async fn read(instance: &Instance, jobs: &[i64]) -> Result<Recent, Error> {
    let client = instance.current().await?;
    let sql = include_str!("../../sql/operations/recent.sql");
    let rows = client.query_typed(sql, &[(&jobs, Type::INT8_ARRAY)]).await;
    let rows = rows.map_err(query("read what finished lately"))?;
    let text: &str = rows.first().map(|row| row.get("recent")).unwrap_or_default();
    serde_json::from_str(text).map_err(Error::Status)
}
