//! Forgetting finished jobs.

use std::time::Duration;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

/// Rows per statement: a fraction of a second, so a worker never waits for the history to go.
const BATCH: i64 = 5_000;

/// Deletes succeeded and cancelled jobs that ended longer ago than this, or counts them; their
/// number. What a batch has deleted stays deleted when a later one fails.
pub(crate) async fn prune(
    client: &Client,
    older_than: Duration,
    dry_run: bool,
) -> Result<i64, Error> {
    let (mut after, mut pruned) = (0_i64, 0);
    loop {
        let rows = client
            .query_typed(
                "select last, count from provisioning.prune($1, $2, $3, $4)",
                &[
                    (&older_than.as_secs_f64(), Type::FLOAT8),
                    (&after, Type::INT8),
                    (&BATCH, Type::INT8),
                    (&dry_run, Type::BOOL),
                ],
            )
            .await?;
        let Some(row) = rows.first() else { return Ok(pruned) };
        pruned += row.try_get::<_, i64>("count")?;
        let Some(last) = row.try_get("last")? else { return Ok(pruned) };
        after = last;
    }
}
