//! What bounds a job.

use std::time::Duration;

use crate::postgres::{self, session_settings};

/// The bounds that the configuration sets.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Failed attempts until a job is dead.
    pub max_attempts: i32,
    pub statement_timeout: Duration,
    /// Longest wait for a lock; below the server's `deadlock_timeout`, so that the worker gives way.
    pub lock_timeout: Duration,
    /// Deletions within an hour that nobody has to confirm.
    pub max_per_hour: Option<u32>,
    /// Deletions within an hour that nobody asked for; beyond that all of them have to be approved.
    pub max_unreported: u32,
    /// Behind a transaction-mode pooler no session has our settings, and each transaction makes its own.
    pub source: postgres::Source,
}

impl Limits {
    pub(crate) fn begin(&self) -> String {
        format!("begin isolation level read committed; {}", self.local())
    }

    /// Local to the transaction, and so right behind a transaction-mode pooler too.
    pub(crate) fn local(&self) -> String {
        let settings =
            if self.source.is_pooled() { session_settings::local() } else { String::new() };
        format!(
            "{settings}set local statement_timeout = {}; set local lock_timeout = {}; \
             set local idle_in_transaction_session_timeout = {}",
            self.statement_timeout.as_millis(),
            self.lock_timeout.as_millis(),
            postgres::IDLE_IN_TRANSACTION.as_millis(),
        )
    }
}
