//! How the attempts at a job ended.

use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row};

/// An attempt, or several of one worker that gave way one after the other for the same reason. Times are RFC 3339 in UTC.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct Attempt {
    /// From 1.
    pub(crate) number: i32,
    /// `succeeded`, `failed`, `gave_way` or `paused`.
    pub(crate) result: String,
    pub(crate) times: i32,
    /// The first of them.
    pub(crate) started_at: Option<String>,
    /// The last of them.
    pub(crate) ended_at: Option<String>,
    /// Of the last.
    pub(crate) duration_ms: Option<f64>,
    /// The worker's.
    pub(crate) host: Option<String>,
    /// Of the worker's process.
    pub(crate) pid: Option<i32>,
    pub(crate) outcome: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) error_code: Option<String>,
    pub(crate) sqlstate: Option<String>,
}

/// The first one first.
pub(crate) async fn attempts(client: &Client, job: i64) -> Result<Vec<Attempt>, Error> {
    let sql = include_str!("../../../sql/queue/admin/attempts.sql");
    client.query_typed(sql, &[(&job, Type::INT8)]).await?.iter().map(Attempt::read).collect()
}

impl Attempt {
    fn read(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            number: row.try_get("number")?,
            result: row.try_get("result")?,
            times: row.try_get("times")?,
            started_at: row.try_get("started_at")?,
            ended_at: row.try_get("ended_at")?,
            duration_ms: row.try_get("duration_ms")?,
            host: row.try_get("host")?,
            pid: row.try_get("pid")?,
            outcome: row.try_get("outcome")?,
            error: row.try_get("error")?,
            error_code: row.try_get("error_code")?,
            sqlstate: row.try_get("sqlstate")?,
        })
    }
}
