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

/// Begins a transaction that reads the tables as they are once `lock` has locked them, and writes nothing.
///
/// The snapshot comes after the locks: a table that somebody rewrote between the two would seem to be empty.
pub(crate) async fn begin_snapshot<'a>(
    client: &'a mut Client,
    lock: &str,
) -> Result<Transaction<'a>, tokio_postgres::Error> {
    let begin = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
    let tx = begin.read_only(true).start().await?;
    tx.batch_execute(lock).await?;
    tx.batch_execute(&session_settings::local()).await?;
    Ok(tx)
}
