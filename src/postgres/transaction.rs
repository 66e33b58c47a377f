//! Transactions with all that we depend on.

use tokio_postgres::{Client, IsolationLevel, Transaction};

use super::session_settings;

/// Begins a transaction in which all that we depend on is set, whatever the session has.
pub(crate) async fn begin(client: &mut Client) -> Result<Transaction<'_>, tokio_postgres::Error> {
    // What is checked has to be what is there now, not what was there at the beginning.
    let begin = client.build_transaction().isolation_level(IsolationLevel::ReadCommitted);
    let tx = begin.start().await?;
    tx.batch_execute(&session_settings::local()).await?;
    Ok(tx)
}
