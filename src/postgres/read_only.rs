//! Whether a server takes writes.

use tokio_postgres::Client;

/// Why it does not.
#[derive(Debug, thiserror::Error)]
pub enum ReadOnly {
    /// It follows another server.
    #[error(
        "the server is a standby, which is read-only: connect to the primary. A URL that names all hosts finds it by \
         target_session_attrs=read-write"
    )]
    Standby,
    /// Somebody has set it so.
    #[error(
        "the server is read-only: default_transaction_read_only is on. Platforms set it when the disk is full: make \
         room, and see which of server, database and role has the setting"
    )]
    BySetting,
    /// It did not answer.
    #[error("cannot ask whether the server is read-only")]
    Query(#[from] tokio_postgres::Error),
}

/// Refuses a server that would refuse the first write, with words of its own.
pub async fn require_writable(client: &Client) -> Result<(), ReadOnly> {
    let sql = "select pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'";
    let rows = client.query_typed(sql, &[]).await?;
    let Some(row) = rows.first() else { return Ok(()) };
    match (row.try_get(0)?, row.try_get(1)?) {
        (true, _) => Err(ReadOnly::Standby),
        (false, true) => Err(ReadOnly::BySetting),
        (false, false) => Ok(()),
    }
}
