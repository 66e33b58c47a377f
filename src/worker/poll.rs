//! How a worker finds a job, or when to look for the next one.

use std::time::Duration;

use tokio_postgres::Client;

use super::limits::Limits;
use super::wakeup::WakeupSignal;
use crate::postgres::{MigrateError, schema_version};
use crate::queue::{self, ClaimFilter, Job};

/// A due job that another worker holds is looked at again after this.
pub(crate) const HELD: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) enum Found {
    /// Claimed, in a transaction that is open.
    Job(Box<Job>),
    /// Nothing to do now.
    Nothing,
    /// A newer program has migrated.
    Newer(MigrateError),
}

/// Claims a job. If there is none, sees to it that somebody looks when the next one is due.
///
/// A glance is a single statement, for a look that nobody has asked for and that mostly finds
/// nothing.
pub(crate) async fn find(
    client: &Client,
    limits: &Limits,
    claim_filter: ClaimFilter,
    wake: &WakeupSignal,
    peek: bool,
) -> Result<Found, tokio_postgres::Error> {
    let begin = limits.begin();
    let next = if peek {
        queue::next_due(client, claim_filter).await?
    } else {
        if let Some(job) = queue::claim(client, &begin, claim_filter).await? {
            return Ok(Found::Job(Box::new(job)));
        }
        let (next, ended) = tokio::join!(biased; queue::next_due(client, claim_filter), client.batch_execute("commit"));
        ended?;
        next?
    };
    let (found, known) = (next.version, schema_version());
    if found > known {
        return Ok(Found::Newer(MigrateError::Newer { found, known }));
    }
    if peek && next.wait.is_some_and(|seconds| seconds <= 0.0) {
        if let Some(job) = queue::claim(client, &begin, claim_filter).await? {
            return Ok(Found::Job(Box::new(job)));
        }
        client.batch_execute("commit").await?;
    }
    if let Some(seconds) = next.wait {
        let wait = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        wake.within(wait.max(HELD));
    }
    Ok(Found::Nothing)
}
