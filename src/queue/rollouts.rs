//! Going on with a rollout.

use tokio_postgres::{Client, Error};

/// What a look at the rollouts came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Advance {
    /// There is something to wait for.
    pub(crate) goes_on: bool,
    /// Something has changed.
    pub(crate) moved: bool,
}

/// Notes which jobs of the rollout that is open have ended, and queues the next ones, in a transaction of its own.
pub(crate) async fn advance(client: &Client) -> Result<Advance, Error> {
    let sql = "select goes_on, moved from provisioning.advance_rollouts()";
    let rows = client.query_typed(sql, &[]).await?;
    let Some(row) = rows.first() else { return Ok(Advance::default()) };
    Ok(Advance { goes_on: row.try_get("goes_on")?, moved: row.try_get("moved")? })
}
