//! What finished lately, for a chart, and the states of the jobs that somebody looks at.

use serde::Deserialize;
use tokio_postgres::types::Type;

use super::error::Error;
use super::status::{self, Status};
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

/// What goes on now but for tables that were renamed, and what finished lately, with the states of these jobs.
///
/// Of a database whose schema was looked at lately, nobody has to ask again: `is_known`.
pub(crate) async fn present(
    instance: &Instance,
    jobs: &[i64],
    is_known: bool,
) -> Result<(Status, Recent), Error> {
    let client = if is_known { instance.db.get().await? } else { instance.current().await? };
    let status = status::read_on(&client, instance, false).await?;
    let sql = include_str!("../../sql/operations/recent.sql");
    let rows = client.query_typed(sql, &[(&jobs, Type::INT8_ARRAY)]).await;
    let rows = rows.map_err(query("read what finished lately"))?;
    let text: &str = rows.first().map(|row| row.get("recent")).unwrap_or_default();
    Ok((status, serde_json::from_str(text).map_err(Error::Status)?))
}
