//! How long connections and their statements may take.

use std::time::Duration;

/// How long connections and their statements may take.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// From the first packet to the first statement.
    pub connect: Duration,
    /// Each statement.
    pub statement: Duration,
    /// Each wait for a lock.
    pub lock: Duration,
}
