//! What finished lately, for a chart, and which jobs a viewer may see change.

use serde::Deserialize;
use tokio_postgres::types::Type;

use super::error::Error;
use crate::postgres::query;
use crate::service::Instance;

/// More changes than that are not shown as they happen.
const MOST_JOBS: i64 = 500;

/// The answer of `sql/operations/recent.sql`.
#[derive(Debug, Deserialize)]
pub(crate) struct Recent {
    /// Sixty, the oldest first.
    pub minutes: Vec<Minute>,
    /// Open jobs, and those that finished within a minute.
    pub changed: Vec<Changed>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Minute {
    pub succeeded: u32,
    pub dead: u32,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Changed {
    pub id: i64,
    /// As the table has it: a running job is pending.
    pub state: String,
}

pub(crate) async fn read(instance: &Instance) -> Result<Recent, Error> {
    let client = instance.current().await?;
    let sql = include_str!("../../sql/operations/recent.sql");
    let rows = client.query_typed(sql, &[(&MOST_JOBS, Type::INT8)]).await;
    let rows = rows.map_err(query("read what finished lately"))?;
    let text: &str = rows.first().map(|row| row.get("recent")).unwrap_or_default();
    serde_json::from_str(text).map_err(Error::Status)
}
