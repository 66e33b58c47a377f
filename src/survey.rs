//! What the database says of the service's work, asked seldom however often somebody wants it.

use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};
use tokio::time::{Instant, timeout};
use tokio_postgres::Client;

use crate::db::{self, Db, MigrateError};
use crate::error::Chain;
use crate::metrics::Stock;
use crate::pulse::Unready;

/// However many scrapers there are, the database is asked no more often.
const KEPT: Duration = Duration::from_secs(5);
/// Below a scraper's and a probe's own patience.
const TAKES: Duration = Duration::from_secs(3);

/// Looks at the database and keeps what it saw, failures too, for five seconds.
#[derive(Debug)]
pub struct Survey {
    db: Db,
    kept: Mutex<Option<Seen>>,
}

/// What one look saw.
#[derive(Debug)]
pub struct Seen {
    at: Instant,
    /// The gauges, where the database gave them.
    pub stock: Option<Registry>,
    /// Fails unless the schema is this program's.
    pub schema: Result<(), Unready>,
}

impl Survey {
    /// Takes a connection now and then.
    pub fn new(db: Db) -> Self {
        Self { db, kept: Mutex::new(None) }
    }

    /// What is known, at most five seconds old; takes at most three seconds.
    pub async fn seen(&self) -> MappedMutexGuard<'_, Seen> {
        let mut kept = self.kept.lock().await;
        if kept.as_ref().is_some_and(|seen| seen.at.elapsed() > KEPT) {
            *kept = None;
        }
        let seen = match kept.take() {
            Some(seen) => seen,
            None => self.look().await,
        };
        MutexGuard::map(kept, |kept| kept.insert(seen))
    }

    async fn look(&self) -> Seen {
        let late = Unready::unreachable(format!("no answer within {TAKES:?}"));
        let (mut stock, mut schema) = (None, Err(late));
        let looking = async {
            let mut client = match self.db.get().await {
                Ok(client) => client,
                Err(error) => {
                    schema = Err(Unready::unreachable(Chain(&error).to_string()));
                    return;
                }
            };
            schema = db::require_current(&mut client).await.map_err(|e| unready(&e));
            match count(&client).await {
                Ok(counted) => stock = Some(counted),
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "cannot read the metrics");
                    Db::close(client);
                }
            }
        };
        // Cut short, the connection is found to be broken when somebody takes it from the pool.
        let _late = timeout(TAKES, looking).await.is_err();
        Seen { at: Instant::now(), stock, schema }
    }
}

fn unready(error: &MigrateError) -> Unready {
    let reason = Chain(error).to_string();
    if let MigrateError::Query { source, .. } = error {
        return Unready::refused(source, reason);
    }
    Unready { code: "schema_version", reason }
}

async fn count(client: &Client) -> Result<Registry, tokio_postgres::Error> {
    let rows = client.query_typed(include_str!("../sql/queries/stock.sql"), &[]).await?;
    let stock = Stock::default();
    let (mut oldest, mut blocked) = (0.0, 0);
    for row in &rows {
        let value: f64 = row.try_get("value")?;
        #[expect(clippy::cast_possible_truncation, reason = "a count")]
        let count = value as i64;
        let label = row.try_get::<_, Option<String>>("label")?.unwrap_or_default();
        match row.try_get("gauge")? {
            "jobs" => stock.jobs(label, row.try_get("state")?, count),
            "agents" => stock.agents(label, count),
            "oldest" => oldest = value,
            "lock_waiters" => stock.lock_waiters(count),
            "lock_holder" => stock.lock_holder(value),
            "purge_held" => stock.purge_held(count),
            _ => blocked = count,
        }
    }
    stock.queue(oldest, blocked);
    Ok(stock.registry())
}
