//! What the database says of the service's work, asked seldom however often somebody wants it.

use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};
use tokio::time::{Instant, timeout};
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::config::DatabaseName;
use crate::postgres::{self, Db, MigrateError};
use crate::queue::Kind;
use crate::telemetry::{DatabaseGauges, ErrorReport, Unready};

/// However many scrapers there are, the database is asked no more often.
const KEPT: Duration = Duration::from_secs(5);
/// What was seen last counts for as long while the database does not answer: an alert that is on would go, and come again.
const LAST: Duration = Duration::from_mins(5);
/// Below a scraper's and a probe's own patience.
const TAKES: Duration = Duration::from_secs(3);

/// Looks at the database and keeps what it saw, failures too, for five seconds.
#[derive(Debug)]
pub struct DatabaseStats {
    db: Db,
    /// The database's name, where each has one.
    name: Option<DatabaseName>,
    kept: Mutex<Option<Seen>>,
}

/// What one look saw.
#[derive(Debug)]
pub struct Seen {
    at: Instant,
    /// Whether the database gave the gauges at this look.
    pub counted: bool,
    /// The gauges, where the database gave them within five minutes.
    pub gauges: Option<(Instant, Registry)>,
    /// Fails unless the schema is this program's, and the disk has room.
    pub schema: Result<(), Unready>,
}

impl DatabaseStats {
    /// Takes a connection now and then.
    pub fn new(db: Db, name: Option<DatabaseName>) -> Self {
        Self { db, name, kept: Mutex::new(None) }
    }

    /// What is known, at most five seconds old; takes at most three seconds.
    pub async fn seen(&self) -> MappedMutexGuard<'_, Seen> {
        let mut kept = self.kept.lock().await;
        let seen = match kept.take() {
            Some(seen) if seen.at.elapsed() <= KEPT => seen,
            old => {
                let mut seen = self.look().await;
                let last = old.and_then(|old| old.gauges);
                seen.gauges = seen.gauges.or(last.filter(|(counted, _)| counted.elapsed() < LAST));
                seen
            }
        };
        MutexGuard::map(kept, |kept| kept.insert(seen))
    }

    async fn look(&self) -> Seen {
        let late = Unready::unreachable(format!("no answer within {TAKES:?}"));
        let (mut gauges, mut schema) = (None, Err(late));
        let looking = async {
            let mut client = match self.db.get().await {
                Ok(client) => client,
                Err(error) => {
                    schema = Err(Unready::unreachable(ErrorReport(&error).to_string()));
                    return;
                }
            };
            schema = postgres::require_current(&mut client).await.map_err(|e| unready(&e));
            match count(&client, self.name.as_ref()).await {
                Ok((counted, disk_full)) => {
                    gauges = Some((Instant::now(), counted));
                    if disk_full > 0 && schema.is_ok() {
                        let reason = "the server's disk was full: jobs are put off";
                        schema = Err(Unready::disk_full(reason.to_owned()));
                    }
                }
                Err(error) => {
                    tracing::warn!(error = %ErrorReport(&error), "cannot read the metrics");
                    Db::close(client);
                }
            }
        };
        // Cut short, the connection is found to be broken when somebody takes it from the pool.
        let _late = timeout(TAKES, looking).await.is_err();
        Seen { at: Instant::now(), counted: gauges.is_some(), gauges, schema }
    }
}

fn unready(error: &MigrateError) -> Unready {
    let reason = ErrorReport(error).to_string();
    if let MigrateError::Query { source, .. } = error {
        return Unready::refused(source, reason);
    }
    Unready { code: "schema_version", reason }
}

/// And how many jobs are put off for a full disk.
async fn count(
    client: &Client,
    name: Option<&DatabaseName>,
) -> Result<(Registry, i64), tokio_postgres::Error> {
    let sql = include_str!("../../sql/service/database_stats.sql");
    let rows = client.query_typed(sql, &[(&Kind::names().as_slice(), Type::TEXT_ARRAY)]).await?;
    let gauges = DatabaseGauges::default();
    let (mut oldest, mut blocked, mut disk_full) = (0.0, 0, 0);
    for row in &rows {
        let value: f64 = row.try_get("value")?;
        #[expect(clippy::cast_possible_truncation, reason = "a count")]
        let count = value as i64;
        let label = row.try_get::<_, Option<String>>("label")?.unwrap_or_default();
        match row.try_get("gauge")? {
            "jobs" => gauges.jobs(label, row.try_get("state")?, count),
            "agents" => gauges.agents(label, count),
            "oldest" => oldest = value,
            "lock_waiters" => gauges.lock_waiters(count),
            "lock_holder" => gauges.lock_holder(value),
            "purge_held" => gauges.purge_held(count),
            "drifted" => gauges.drifted(count),
            "instances" => gauges.instances(count),
            "held_up" => gauges.held_up(count),
            "disk_full" => disk_full = count,
            _ => blocked = count,
        }
    }
    gauges.queue(oldest, blocked);
    Ok((gauges.registry(name.map(DatabaseName::as_str)), disk_full))
}
