//! What becomes of jobs that somebody waits for.

use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::types::Type;
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
    /// `None`: still in the queue, and moving.
    pub(crate) end: Option<End>,
    /// Of a dead or paused one.
    pub(crate) error: Option<String>,
}

/// Looks once. Jobs that were pruned meanwhile are left out.
pub(crate) async fn follow(client: &Client, ids: &[i64]) -> Result<Vec<Followed>, Error> {
    let sql = include_str!("../../../sql/queue/admin/progress.sql");
    let rows = client.query_typed(sql, &[(&ids, Type::INT8_ARRAY)]).await?;
    rows.iter().map(Followed::read).collect()
}

/// How many of these are pending and due without an instance that takes them.
pub(crate) async fn untaken(client: &Client, ids: &[i64]) -> Result<i64, Error> {
    let sql = include_str!("../../../sql/queue/admin/progress_untaken.sql");
    let rows = client.query_typed(sql, &[(&ids, Type::INT8_ARRAY)]).await?;
    rows.first().map_or(Ok(0), |row| row.try_get(0))
}

impl Followed {
    fn read(row: &Row) -> Result<Self, Error> {
        let end = match row.try_get("state")? {
            "succeeded" => Some(End::Succeeded),
            "dead" => Some(End::Dead),
            "paused" => Some(End::Paused),
            "blocked" => Some(End::Blocked),
            "cancelled" => Some(End::Cancelled),
            _ => None,
        };
        Ok(Self { id: row.try_get("id")?, end, error: row.try_get("error")? })
    }
}
