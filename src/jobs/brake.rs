//! The brake on mass deletion.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::job::Job;
use crate::agent::Error;

/// One look at a time, and each sees what the last one let through. The number only has to be ours.
const LOCK: i64 = 0x6167_656e_7464_656c;

/// Lets a deletion through while fewer than `limit` have gone through unconfirmed within an hour.
///
/// What an operator replays is confirmed: it passes, and does not count.
pub(super) async fn hold(client: &Client, limit: Option<u32>, job: &Job) -> Result<(), Error> {
    let Some(limit) = limit.filter(|_| !job.confirmed) else { return Ok(()) };
    let lock = "select pg_advisory_xact_lock($1)";
    let count = "select count(*) from provisioning.jobs where kind = 'deprovision' \
                 and state = 'succeeded' and not confirmed and finished_at > now() - interval '1 hour'";
    let (locked, counted) = tokio::join!(
        biased;
        async { client.execute_typed(lock, &[(&LOCK, Type::INT8)]).await },
        client.query_typed(count, &[]),
    );
    let query = |source| Error::Query { doing: "count the last deletions", source };
    locked.map_err(query)?;
    let deleted: i64 = counted.map_err(query)?.first().map_or(0, |row| row.get(0));
    if deleted >= limit.into() { Err(Error::Paused(limit)) } else { Ok(()) }
}
