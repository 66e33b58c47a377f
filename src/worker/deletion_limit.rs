//! The limit on deletions within an hour.

use tokio_postgres::Client;

use super::limits::Limits;
use crate::postgres;
use crate::provisioning::Error;
use crate::queue::Job;

/// One look at a time, and each sees what the last one let through.
const LOCK: &str = "lock table provisioning.limit_gate in exclusive mode";

/// What this job is counted with: deletions of the last hour that no operator approved.
const COUNT: &str = include_str!("../../sql/worker/deletion_limit.sql");

/// Lets a deletion through while fewer than `max_per_hour` have gone through unconfirmed within an hour.
/// One that nobody asked for passes only while there are at most `max_unreported` of its kind in the
/// hour, those that wait included: an accident stops all of them, not only what exceeds a number.
///
/// What an operator approves is confirmed: it passes, and does not count.
pub(crate) async fn hold(client: &Client, limits: &Limits, job: &Job) -> Result<(), Error> {
    if job.deletion_confirmed || (limits.max_per_hour.is_none() && !job.unreported) {
        return Ok(());
    }
    let (locked, counted) = tokio::join!(
        biased;
        client.batch_execute(LOCK),
        client.query_typed(COUNT, &[]),
    );
    let query = |source| Error::from(postgres::query("count the last deletions")(source));
    locked.map_err(query)?;
    let counted = counted.map_err(query)?;
    let count = |column| counted.first().map_or(0_i64, |row| row.get(column));
    if job.unreported && count("unreported") > limits.max_unreported.into() {
        return Err(Error::Unreported(limits.max_unreported));
    }
    match limits.max_per_hour {
        Some(limit) if count("deleted") >= limit.into() => Err(Error::Paused(limit)),
        Some(_) | None => Ok(()),
    }
}
