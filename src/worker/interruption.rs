//! Why a worker goes on with another connection.

use std::time::Duration;

use super::hang_detection::Broken;
use crate::postgres::{self, backoff};
use crate::telemetry::{ErrorReport, Unready};

/// What went wrong with a connection, or on it.
#[derive(Debug)]
pub(crate) enum Interruption {
    /// There is none, it broke, or the server refused what it must not refuse.
    Database(Unready),
    /// The program is to blame.
    Panic(String),
}

impl From<&postgres::Error> for Interruption {
    fn from(error: &postgres::Error) -> Self {
        Self::Database(Unready::unreachable(ErrorReport(error).to_string()))
    }
}

impl From<&Broken> for Interruption {
    fn from(broken: &Broken) -> Self {
        let reason = broken.redacted();
        Self::Database(match broken.error() {
            Some(error) => Unready::refused(error, reason),
            None => Unready::unreachable(reason),
        })
    }
}

impl Interruption {
    /// The same, of what had been claimed.
    pub(crate) fn in_the_middle_of(self, job: i64) -> Self {
        let inside = |text| format!("in the middle of job {job}: {text}");
        match self {
            Self::Database(Unready { code, reason }) => {
                Self::Database(Unready { code, reason: inside(reason) })
            }
            Self::Panic(error) => Self::Panic(inside(error)),
        }
    }

    /// Until the next connection is tried. What the server refuses it refuses for longer than it is down.
    pub(crate) fn wait(&self, failures: u32) -> Duration {
        match self {
            _ if failures == 0 => Duration::ZERO, // idle connections die unnoticed: the next one may be fine
            Self::Database(unready) if unready.is_refusal() => {
                backoff::refused(failures, fastrand::f64())
            }
            Self::Database(_) | Self::Panic(_) => backoff::reconnect(failures, fastrand::f64()),
        }
    }

    /// Says so in the log.
    pub(crate) fn tell(&self, wait: Duration) {
        let (what, error) = match self {
            Self::Database(unready) if unready.is_refusal() => {
                ("the server refused a worker's statement", &unready.reason)
            }
            Self::Database(unready) => ("worker lost its connection", &unready.reason),
            Self::Panic(error) => ("worker goes on with another connection", error),
        };
        tracing::warn!(error, retry_in = ?wait, "{what}");
    }
}
