//! Emptying the trash of what was kept for long enough.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::limits::Limits;
use crate::telemetry::ErrorReport;
use crate::{postgres, provisioning};

/// Drops what is due, one agent per transaction; how many. What cannot be dropped is logged, and
/// tried again.
///
/// The database's clock decides what is due. If it has moved against the service's clock since the deletions, nothing is
/// purged until an operator approves.
pub(crate) async fn purge(client: &mut Client, limits: &Limits) -> Result<u64, postgres::Error> {
    let Some(items) = due(client).await? else { return Ok(0) };
    let mut purged = 0;
    for item in items {
        let tx = client.transaction().await?;
        tx.batch_execute(&limits.local()).await?;
        match provisioning::purge(tx.client(), item, true).await {
            Ok(None) => {}
            Ok(Some((id, prefix))) => {
                tx.commit().await?;
                tracing::info!(agent.id = id.0, agent.prefix = prefix, "purged from the trash");
                purged += 1;
            }
            Err(error) => {
                tx.rollback().await?;
                tracing::warn!(error = %ErrorReport(&error), "cannot purge from the trash");
            }
        }
    }
    Ok(purged)
}

/// What may be purged; `None`: nothing, until an operator approves.
async fn due(client: &Client) -> Result<Option<Vec<i64>>, postgres::Error> {
    let clock = provisioning::service_clock();
    let sql = "select * from provisioning.purge_due($1)";
    let rows = client.query_typed(sql, &[(&clock, Type::FLOAT8)]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let (held, moved): (bool, f64) = (row.try_get("held")?, row.try_get("clock_moved")?);
    if !held {
        return Ok(row.try_get("items")?);
    }
    tracing::error!(
        clock_moved_seconds = moved,
        "the database's clock has moved against the service's: nothing is purged from the trash until \
         an operator approves, see `agent-provisioner doctor`"
    );
    Ok(None)
}
