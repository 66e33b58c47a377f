//! What goes on, on one screen.

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::error::Error;
use super::limits::{self, Room};
use crate::postgres::query;
use crate::queue::{LockHolder, distinct, visible_lock_holders};
use crate::service::Instance;
use crate::telemetry::Printable;

/// How long what there is room for is taken to stay the same.
const ROOM_FOR: Duration = Duration::from_mins(1);

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

/// What goes on now, on a connection that there is.
///
/// Tables that were renamed are counted where the whole catalog is to be looked at, and are 0 otherwise.
pub(super) async fn read_on(
    client: &Client,
    instance: &Instance,
    at_catalog: bool,
) -> Result<Status, Error> {
    let sql = include_str!("../../sql/operations/status.sql");
    let rows = client.query_typed(sql, &[(&at_catalog, Type::BOOL)]).await;
    let rows = rows.map_err(query("read the status"))?;
    let text: &str = rows.first().map(|row| row.get("status")).unwrap_or_default();
    let queue = serde_json::from_str(text).map_err(Error::Status)?;
    let lock_holders =
        distinct(visible_lock_holders(client).await.map_err(query("look for locks"))?);
    Ok(Status { database: instance.db.place().to_string(), queue, lock_holders })
}

/// A session, or a prepared transaction, that keeps others from reading.
#[derive(Debug)]
pub(crate) struct ReaderLock {
    /// Who it is, and what it has locked.
    pub said: String,
    /// The statement that ends it.
    pub way_out: String,
}

/// Who keeps others from reading the tables of the CRM or of the queue.
pub(crate) async fn reader_locks(instance: &Instance) -> Result<Vec<ReaderLock>, Error> {
    let client = instance.db.get().await?;
    let sql = include_str!("../../sql/operations/reader_locks.sql");
    let rows = client.query_typed(sql, &[]).await.map_err(query("look for locks"))?;
    let read = |row: &Row| ReaderLock {
        // Names are somebody else's choice.
        said: Printable(row.get::<_, &str>("said")).to_string(),
        way_out: row.get("way_out"),
    };
    Ok(rows.iter().map(read).collect())
}

/// What there was room for when that was last looked at.
#[derive(Debug)]
pub(crate) struct SeenRoom {
    room: Room,
    at: Instant,
}

/// All that goes on now, and what there is room for. That is a look at the whole catalog, and good for a minute.
pub(crate) async fn report(
    instance: &Instance,
    seen: &mut Option<SeenRoom>,
) -> Result<StatusReport, Error> {
    let client = instance.current().await?;
    let status = read_on(&client, instance, true).await?;
    let room = match seen {
        Some(seen) if seen.at.elapsed() < ROOM_FOR => seen.room.clone(),
        _ => {
            let room = limits::read(&client).await?;
            *seen = Some(SeenRoom { room: room.clone(), at: Instant::now() });
            room
        }
    };
    Ok(StatusReport { status, room })
}
