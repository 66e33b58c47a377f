//! What the instances of this program on one database show each other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_postgres::types::{ToSql, Type};

use super::error::Error;
use super::pool::Db;
use crate::telemetry::Metrics;

/// Longer than it takes from one proof of the listener to the next, and well below the 30 seconds after which
/// the others take an instance for gone.
const OVERDUE: Duration = Duration::from_secs(12);
/// The listener's first proof comes before that.
const FIRST: Duration = Duration::from_secs(1);
const TAKES: Duration = Duration::from_secs(5);
/// A service that stops does not wait longer for a database that does not answer.
const LEAVING: Duration = Duration::from_secs(1);

/// An instance as the others see it: what is in its row of `provisioning.instances`.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// The machine, pod or container.
    pub host: String,
    /// What has to be the same everywhere: settings and their values.
    pub settings: BTreeMap<&'static str, String>,
    /// How it fares.
    pub metrics: Arc<Metrics>,
}

/// A setting in which another instance differs from this one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize)]
pub struct Difference {
    /// Its name.
    pub setting: String,
    /// What it is here.
    pub own: String,
    /// What it is there.
    pub other: String,
    /// Where the other instance runs.
    pub host: String,
    /// The other instance's process.
    pub pid: i32,
}

/// Sends the listener's notifications to itself, and shows this instance to the others with the same statement.
#[derive(Debug)]
pub struct Presence {
    /// Not the listener's own connection. What a session sends to itself would arrive even behind a pooler
    /// that delivers nothing else.
    db: Db,
    /// With the number that its row bears.
    instance: Option<(i64, Announcement)>,
    /// When the row has to be refreshed without a proof.
    due: watch::Sender<Instant>,
}

/// The machine, pod or container that this process runs on.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What one statement came to.
#[derive(Debug)]
pub(crate) struct Shown {
    /// False: the server's queue of notifications is nearly full, and nothing was sent.
    pub(crate) notified: bool,
    pub(crate) differences: Vec<Difference>,
}

impl Presence {
    /// Of an instance, or of a program that does no job.
    pub fn new(db: Db, instance: Option<Announcement>) -> Self {
        let instance = instance.map(|instance| (fastrand::i64(..), instance));
        Self { db, instance, due: watch::Sender::new(Instant::now() + FIRST) }
    }

    /// Notifies `channel`, where there is a payload.
    pub(crate) async fn show(&self, channel: &str, payload: Option<&str>) -> Result<Shown, Error> {
        self.due.send_replace(Instant::now() + OVERDUE);
        let client = self.db.get().await?;
        let Some((id, Announcement { host, settings, metrics })) = &self.instance else {
            let notify = "select provisioning.notify($1, $2) as notified, null as setting";
            let notified: [(&(dyn ToSql + Sync), Type); 2] =
                [(&channel, Type::TEXT), (&payload, Type::TEXT)];
            return Ok(Shown::read(&client.query_typed(notify, &notified).await?));
        };
        let pid = i32::try_from(std::process::id()).unwrap_or_default();
        let settings = serde_json::json!(settings).to_string();
        let state = serde_json::json!(metrics.state()).to_string();
        let shown: [(&(dyn ToSql + Sync), Type); 8] = [
            (id, Type::INT8),
            (host, Type::TEXT),
            (&pid, Type::INT4),
            (&env!("CARGO_PKG_VERSION"), Type::TEXT),
            (&settings, Type::TEXT),
            (&state, Type::TEXT),
            (&channel, Type::TEXT),
            (&payload, Type::TEXT),
        ];
        let show = "select * from provisioning.show_instance($1, $2, $3, $4, $5::jsonb, $6::jsonb, $7, $8)";
        Ok(Shown::read(&client.query_typed(show, &shown).await?))
    }

    /// Keeps the row fresh while no proof does, because nobody listens. Does not return.
    pub(crate) async fn keep(&self, channel: &str, tell: impl Fn(Vec<Difference>)) {
        let mut due = self.due.subscribe();
        loop {
            let at = *due.borrow_and_update();
            if timeout_at(at, due.changed()).await.is_err()
                && let Ok(Ok(shown)) = timeout(TAKES, self.show(channel, None)).await
            {
                tell(shown.differences);
            }
        }
    }

    /// Removes the row. Where that fails, the others take the instance for one that was killed.
    pub(crate) async fn leave(&self) {
        let Some((id, _)) = &self.instance else { return };
        let leaving = async {
            let remove = "delete from provisioning.instances where id = $1";
            let client = self.db.get().await?;
            Ok::<_, Error>(client.execute_typed(remove, &[(id, Type::INT8)]).await?)
        };
        if !matches!(timeout(LEAVING, leaving).await, Ok(Ok(_))) {
            tracing::debug!("the other instances are not told that this one stops");
        }
    }
}

impl Shown {
    fn read(rows: &[tokio_postgres::Row]) -> Self {
        let notified = rows.iter().any(|row| row.get::<_, Option<bool>>("notified") == Some(true));
        let differing = rows.iter().filter_map(|row| {
            Some(Difference {
                setting: row.get::<_, Option<_>>("setting")?,
                own: row.get("own"),
                other: row.get("other"),
                host: row.get("other_host"),
                pid: row.get("other_pid"),
            })
        });
        Self { notified, differences: differing.collect() }
    }
}
