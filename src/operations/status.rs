//! What goes on, on one screen.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::Error;
use super::limits::{self, Room};
use crate::postgres::query;
use crate::queue::{LockHolder, distinct, visible_lock_holders};
use crate::service::Instance;

/// What goes on in a database. Ages are seconds.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Status {
    /// User, hosts with ports, database.
    pub database: String,
    #[serde(flatten)]
    pub queue: Queue,
    /// Who holds up jobs, as far as this role may ask.
    pub lock_holders: Vec<LockHolder>,
}

/// The same, and what there is room for.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct StatusReport {
    #[serde(flatten)]
    pub status: Status,
    pub room: Room,
}

/// The answer of `sql/operations/status.sql`.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub(crate) struct Queue {
    pub role: String,
    pub server_version: String,
    /// Why the server takes no writes: `standby`, or `setting` where `default_transaction_read_only` is on.
    pub read_only: Option<String>,
    pub schema_version: Option<i32>,
    pub instances: Vec<Connected>,
    /// Jobs that a session is at.
    pub running: Vec<RunningJob>,
    /// By state: running, pending, dead, paused.
    pub jobs: Vec<Jobs>,
    pub last_hour: LastHour,
    /// What holds up later jobs of its prefix.
    pub blocked: Vec<Blocking>,
    /// Since agents were last compared in the background.
    pub verify_age: Option<f64>,
    pub drifted: i64,
    /// Agents of which a table was renamed or moved.
    pub displaced: i64,
    pub trash: Trash,
    /// Agents by the version of their templates.
    pub templates: Vec<TemplateVersion>,
    pub newest_template: Option<i32>,
}

/// A service on this database. What it says of itself is null until it has said it.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub(crate) struct Connected {
    pub host: String,
    pub pid: i32,
    pub version: String,
    /// Whether it was seen within 30 seconds.
    pub running: bool,
    pub started_age: Option<f64>,
    pub seen_age: Option<f64>,
    pub listening: Option<bool>,
    /// Since its last successful sweep.
    pub sweep_age: Option<f64>,
    pub sweeps_failed: Option<u64>,
    pub found_missing: Option<u64>,
    pub found_orphaned: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub(crate) struct RunningJob {
    pub id: i64,
    pub kind: String,
    pub prefix: String,
    pub backend_pid: i32,
    pub age: Option<f64>,
    /// The backends whose locks it waits for.
    pub waits_for: Vec<i32>,
}

#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub(crate) struct Jobs {
    pub state: String,
    #[serde(rename = "jobs")]
    pub count: i64,
    pub oldest_age: Option<f64>,
}

#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub(crate) struct LastHour {
    pub succeeded: i64,
    pub cancelled: i64,
    pub provisioned: i64,
    /// Seconds from an agent's INSERT to its tables.
    pub ready_p50: Option<f64>,
    pub ready_p99: Option<f64>,
}

#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub(crate) struct Blocking {
    pub prefix: String,
    pub job: i64,
    pub kind: String,
    pub state: String,
    /// Jobs behind it.
    pub waiting: i64,
}

#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub(crate) struct Trash {
    pub agents: i64,
    /// Seconds until the next agent is purged.
    pub next_purge: Option<f64>,
    /// Whether nothing is purged until an operator says so.
    pub held: bool,
}

#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub(crate) struct TemplateVersion {
    pub version: i32,
    pub agents: i64,
}

/// What goes on now.
pub(crate) async fn read(instance: &Instance) -> Result<Status, Error> {
    let client = instance.current().await?;
    let sql = include_str!("../../sql/operations/status.sql");
    let rows = client.query_typed(sql, &[]).await.map_err(query("read the status"))?;
    let text: &str = rows.first().map(|row| row.get("status")).unwrap_or_default();
    let queue = serde_json::from_str(text).map_err(Error::Status)?;
    let lock_holders =
        distinct(visible_lock_holders(&client).await.map_err(query("look for locks"))?);
    Ok(Status { database: instance.db.place().to_string(), queue, lock_holders })
}

/// What goes on now, and what there is room for. That is a look at the whole catalog.
pub(crate) async fn report(instance: &Instance) -> Result<StatusReport, Error> {
    let status = read(instance).await?;
    let client = instance.current().await?;
    Ok(StatusReport { status, room: limits::read(&client).await? })
}
