//! What becomes of jobs that somebody waits for.

use std::collections::HashSet;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row};

/// How waiting for a job ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum End {
    Succeeded,
    Dead,
    /// A deletion that waits for an operator's approval.
    Paused,
    /// It waits for a dead or paused job of its prefix, so only a person can move it.
    Blocked,
    Cancelled,
}

/// A job at the moment of a look.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct Followed {
    pub(crate) id: i64,
    /// Null: still in the queue, and moving.
    pub(crate) end: Option<End>,
    /// Of a dead or paused one.
    pub(crate) error: Option<String>,
    /// It is put off, since the server's disk was full.
    #[serde(skip)]
    pub(crate) disk_full: bool,
}

/// Looks once. Jobs that were pruned meanwhile are left out.
pub(crate) async fn follow(client: &Client, ids: &[i64]) -> Result<Vec<Followed>, Error> {
    let sql = include_str!("../../../sql/queue/admin/progress.sql");
    let rows = client.query_typed(sql, &[(&ids, Type::INT8_ARRAY)]).await?;
    rows.iter().map(Followed::read).collect()
}

/// Which of these are pending without an instance that takes them; only those that have been due for `due`, if that is given.
pub(crate) async fn untaken(
    client: &Client,
    ids: &[i64],
    due: Option<Duration>,
) -> Result<HashSet<i64>, Error> {
    let sql = include_str!("../../../sql/queue/admin/progress_untaken.sql");
    let seconds = due.map(|due| due.as_secs_f64());
    let parameters: [(&(dyn ToSql + Sync), Type); 2] =
        [(&ids, Type::INT8_ARRAY), (&seconds, Type::FLOAT8)];
    let rows = client.query_typed(sql, &parameters).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

impl Followed {
    pub(super) fn read(row: &Row) -> Result<Self, Error> {
        let end = match row.try_get("state")? {
            "succeeded" => Some(End::Succeeded),
            "dead" => Some(End::Dead),
            "paused" => Some(End::Paused),
            "blocked" => Some(End::Blocked),
            "cancelled" => Some(End::Cancelled),
            _ => None,
        };
        Ok(Self {
            id: row.try_get("id")?,
            end,
            error: row.try_get("error")?,
            disk_full: row.try_get("disk_full")?,
        })
    }
}
