//! Emptying the trash of what was kept for long enough.

use tokio_postgres::Client;

use super::Limits;
use crate::error::Chain;
use crate::{agent, db};

/// Drops what is due, one agent per transaction; how many. What cannot be dropped is logged, and
/// tried again.
pub(super) async fn purge(client: &mut Client, limits: &Limits) -> Result<u64, db::Error> {
    // Few at a time, in any order: neither the sweep nor the rest waits for those that cannot go.
    let due = "select item from provisioning.trash where purge_at <= now() \
               order by random() limit 50";
    let mut purged = 0;
    for row in client.query_typed(due, &[]).await? {
        let tx = client.transaction().await?;
        tx.batch_execute(&limits.local()).await?;
        match agent::purge(tx.client(), row.get("item")).await {
            Ok(None) => {}
            Ok(Some((id, prefix))) => {
                tx.commit().await?;
                tracing::info!(agent.id = id.0, agent.prefix = prefix, "purged from the trash");
                purged += 1;
            }
            Err(error) => {
                tx.rollback().await?;
                tracing::warn!(error = %Chain(&error), "cannot purge from the trash");
            }
        }
    }
    Ok(purged)
}
