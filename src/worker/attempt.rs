//! How an attempt at a job ended: in the queue, in the log and in the metrics.

use std::time::{Duration, Instant};

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::hang_detection::{self, Broken};
use super::limits::Limits;
use crate::provisioning;
use crate::queue::{
    self, ErrorCode, ErrorParts, Failure, Job, LockHolder, Outcome, RetryPolicy, Wait,
    lock_holders, retry_policy,
};
use crate::telemetry::{ErrorReport, Metrics, RedactedErrorReport};

/// An attempt whose connection broke before its record was known to be committed.
#[derive(Debug)]
pub(crate) struct UnrecordedAttempt {
    pub(crate) job: Job,
    pub(crate) failure: Failure,
    /// When the connection broke.
    pub(crate) since: Instant,
}

/// By then the server has noticed that a client is gone, and another worker's try has ended.
const SETTLED: Duration = Duration::from_secs(20);

/// The work failed.
pub(crate) fn work_failed(error: &provisioning::Error, started: Instant) -> Failure {
    Failure {
        policy: error.retry_policy(),
        error: ErrorReport(error).to_string(),
        logged: RedactedErrorReport(error).to_string(),
        parts: error.parts(),
        refusal: error.refusal(),
        took: started.elapsed(),
    }
}

/// The outcome could not be recorded.
pub(crate) fn settling_failed(error: &Broken, started: Instant) -> Failure {
    Failure {
        policy: retry_policy(error.code()),
        error: error.to_string(),
        logged: error.redacted(),
        parts: error.parts(),
        refusal: None,
        took: started.elapsed(),
    }
}

/// The server gave the job up, and the connection has not said so.
pub(crate) fn fell_silent(started: Instant) -> Failure {
    let text = "the connection fell silent, and the server has ended the transaction";
    Failure {
        policy: retry_policy(None),
        error: text.to_owned(),
        logged: text.to_owned(),
        parts: ErrorParts::of(ErrorCode::ConnectionLost),
        refusal: None,
        took: started.elapsed(),
    }
}

/// The program did not get on, and says so in `text`.
pub(crate) fn panicked(text: &str, started: Instant) -> Failure {
    Failure {
        policy: RetryPolicy::Retry,
        error: text.to_owned(),
        logged: text.to_owned(),
        parts: ErrorParts::of(ErrorCode::Panic),
        refusal: None,
        took: started.elapsed(),
    }
}

impl UnrecordedAttempt {
    /// Records it, unless it was committed after all or another attempt has failed since. Says
    /// whether that is settled: while somebody holds the job, it is worth another call.
    pub(crate) async fn record(
        &self,
        client: &Client,
        limits: &Limits,
        metrics: &Metrics,
    ) -> Result<bool, Broken> {
        let Self { job, failure, since } = self;
        let recording = async {
            client.batch_execute(&limits.begin()).await?;
            let recorded =
                queue::fail(client, job, failure, since.elapsed(), limits.max_attempts).await;
            client.batch_execute("commit").await?; // of a failed transaction: a rollback
            recorded
        };
        let patience = limits.lock_timeout + hang_detection::CLAIM_TIMEOUT; // it may wait for another worker
        match hang_detection::with_timeout("record a failed attempt", patience, recording).await {
            Ok(Some(_)) => failed(metrics, job, failure, limits.max_attempts, None),
            Ok(None) => tracing::info!(job.id, "the job was settled all the same"),
            Err(broken) if broken.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                if since.elapsed() < SETTLED {
                    return Ok(false);
                }
                tracing::info!(job.id, "another worker is on the job");
            }
            Err(broken) => return Err(broken),
        }
        Ok(true)
    }
}

/// Tells of an attempt that succeeded and is committed.
pub(crate) fn done(metrics: &Metrics, job: &Job, outcome: Outcome, took: Duration) {
    if outcome == Outcome::MoreToDo {
        metrics.goes_on(job.kind().as_str(), outcome.as_str());
        tracing::debug!(job.id, agent.prefix = job.prefix, "job goes on");
        return;
    }
    metrics.succeeded(job.kind().as_str(), outcome.as_str(), took);
    if outcome == Outcome::Provisioned {
        metrics.ready(job.waited + took.as_secs_f64());
    }
    tracing::info!(
        job.id,
        job.kind = job.kind().as_str(),
        agent.id = job.agent_id.0,
        agent.prefix = job.prefix,
        attempt = job.attempts + 1,
        duration_ms = ms(took),
        outcome = outcome.as_str(),
        "job done"
    );
}

/// Who holds a job up, if it is time to say so: at the first time it gave way, and ever more seldom.
pub(crate) async fn holder(
    client: &Client,
    job: &Job,
    failure: &Failure,
    give_ways: i32,
) -> Option<Holder> {
    if !failure.gave_way() || !u32::try_from(give_ways).is_ok_and(u32::is_power_of_two) {
        return None;
    }
    let wanted = failure.refusal.map_or("own tables", |refusal| refusal.mode.as_str());
    // What cannot be found out is no reason to say nothing.
    let holders = hang_detection::with_timeout(
        "look for holders of locks",
        hang_detection::CLAIM_TIMEOUT,
        lock_holders(client),
    )
    .await
    .unwrap_or_default();
    let oldest = holders.into_iter().find(|holder| holder.holds_up(job.agent_id.0, wanted));
    Some(Holder { give_ways, oldest })
}

/// What the log says of a job that gave way.
#[derive(Debug)]
pub(crate) struct Holder {
    give_ways: i32,
    /// `None`: by now nobody has the lock.
    oldest: Option<LockHolder>,
}

/// Tells of an attempt that failed and is recorded.
pub(crate) fn failed(
    metrics: &Metrics,
    job: &Job,
    failure: &Failure,
    max_attempts: i32,
    holder: Option<&Holder>,
) {
    let outcome = match (failure.policy, failure.next_state(job.attempts, max_attempts)) {
        (RetryPolicy::RetryWithoutCounting(_), _) => "gave_way",
        (_, "pending") => "retry",
        (_, ended) => ended,
    };
    metrics.failed(job.kind().as_str(), outcome, failure.parts.sqlstate.as_deref());
    if let Some(Holder { give_ways, oldest }) = holder {
        let holder =
            oldest.as_ref().map_or_else(|| "nobody by now".to_owned(), ToString::to_string);
        tracing::warn!(
            job.id,
            job.kind = job.kind().as_str(),
            agent.id = job.agent_id.0,
            agent.prefix = job.prefix,
            times = give_ways,
            holder,
            way_out = oldest.as_ref().map(|oldest| oldest.way_out.as_str()),
            error = failure.logged,
            "job gave way"
        );
        return;
    }
    // What is tried again within seconds is told elsewhere: by the sweep, or with who holds the lock.
    if outcome == "gave_way" && failure.policy != RetryPolicy::RetryWithoutCounting(Wait::Minutes) {
        tracing::debug!(job.id, agent.prefix = job.prefix, error = failure.logged, "job gave way");
        return;
    }
    // The level of an event is known when it is compiled.
    macro_rules! tell {
        ($level:ident) => {
            tracing::$level!(
                job.id,
                job.kind = job.kind().as_str(),
                agent.id = job.agent_id.0,
                agent.prefix = job.prefix,
                attempt = job.attempts + 1,
                duration_ms = ms(failure.took),
                outcome,
                error = failure.logged,
                "job failed"
            )
        };
    }
    if outcome == "dead" { tell!(error) } else { tell!(warn) }
}

/// As a number that every log format knows.
fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
