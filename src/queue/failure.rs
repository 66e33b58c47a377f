//! A failed attempt at a job.

use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tokio_postgres::error::SqlState;

use super::error_code::ErrorParts;
use super::retry_policy::RetryPolicy;
use crate::postgres::Refusal;

/// Why an attempt failed, and what becomes of its job.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) policy: RetryPolicy,
    /// For `last_error`: all that the server said.
    pub(crate) error: String,
    /// The same in parts.
    pub(crate) parts: ErrorParts,
    /// For the log: without what may quote a row.
    pub(crate) logged: String,
    /// The lock on shared tables that was not to be had.
    pub(crate) refusal: Option<Refusal>,
    pub(crate) took: Duration,
}

#[derive(Serialize)]
struct Record<'a> {
    text: &'a str,
    /// Seconds since the attempt ended.
    ago: f64,
    #[serde(flatten)]
    parts: &'a ErrorParts,
}

impl Failure {
    /// Whether it was held up by somebody's lock.
    pub(crate) fn gave_way(&self) -> bool {
        self.parts.sqlstate.as_deref() == Some(SqlState::LOCK_NOT_AVAILABLE.code())
            && self.refusal.is_none_or(|refusal| refusal.waited)
    }

    /// What `provisioning.record_failure` takes as the error: a JSON object.
    pub(crate) fn record(&self, ago: Duration) -> String {
        let Self { error, parts, .. } = self;
        let record = json!(Record { text: error, ago: ago.as_secs_f64(), parts }).to_string();
        // The server takes no such character in a text.
        record.replace("\\u0000", "\\ufffd")
    }

    /// The job's state afterwards, as `provisioning.jobs.state` spells it. `attempts` failed before this one.
    pub(crate) fn next_state(&self, attempts: i32, max_attempts: i32) -> &'static str {
        match self.policy {
            RetryPolicy::Retry if attempts + 1 >= max_attempts => "dead",
            RetryPolicy::Retry | RetryPolicy::RetryWithoutCounting(_) => "pending",
            RetryPolicy::Fail => "dead",
            RetryPolicy::Pause => "paused",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::error_code::ErrorCode;
    use super::*;

    #[test]
    fn the_record_has_the_whole_text_and_its_parts_and_nothing_that_the_server_refuses() {
        let failure = Failure {
            policy: RetryPolicy::Retry,
            error: "a\0b".to_owned(),
            parts: ErrorParts::of(ErrorCode::Panic),
            logged: String::new(),
            refusal: None,
            took: Duration::ZERO,
        };
        let record: serde_json::Value =
            serde_json::from_str(&failure.record(Duration::ZERO)).unwrap();
        assert_eq!([&record["text"], &record["code"]], ["a\u{fffd}b", "panic"]);
        assert_eq!(record["sqlstate"], serde_json::Value::Null);
    }
}
