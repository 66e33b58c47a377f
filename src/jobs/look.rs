//! How a worker finds a job, or when to look for the next one.

use std::time::Duration;

use tokio_postgres::Client;

use super::job::Job;
use super::queue::{self, Takes};
use super::{Limits, Wake};
use crate::db::{MigrateError, schema_version};

/// A due job that another worker holds is looked at again after this.
pub(super) const HELD: Duration = Duration::from_millis(100);

/// What came of it.
#[derive(Debug)]
pub(super) enum Found {
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
pub(super) async fn find(
    client: &Client,
    limits: &Limits,
    takes: Takes,
    wake: &Wake,
    glance: bool,
) -> Result<Found, tokio_postgres::Error> {
    let begin = limits.begin();
    let ahead = if glance {
        queue::look_ahead(client, takes).await?
    } else {
        if let Some(job) = queue::claim(client, &begin, takes).await? {
            return Ok(Found::Job(Box::new(job)));
        }
        let (ahead, ended) =
            tokio::join!(biased; queue::look_ahead(client, takes), client.batch_execute("commit"));
        ended?;
        ahead?
    };
    let (found, known) = (ahead.version, schema_version());
    if found > known {
        return Ok(Found::Newer(MigrateError::Newer { found, known }));
    }
    if glance && ahead.wait.is_some_and(|seconds| seconds <= 0.0) {
        if let Some(job) = queue::claim(client, &begin, takes).await? {
            return Ok(Found::Job(Box::new(job)));
        }
        client.batch_execute("commit").await?;
    }
    if let Some(seconds) = ahead.wait {
        let wait = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        wake.within(wait.max(HELD));
    }
    Ok(Found::Nothing)
}
