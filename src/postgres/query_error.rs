//! A statement that failed, and what it was for.

use tokio_postgres::error::SqlState;

use super::lock_mode::Refusal;

/// A statement failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing}")]
pub struct QueryError {
    /// What the statement was for.
    pub doing: &'static str,
    /// What the server said.
    #[source]
    pub source: tokio_postgres::Error,
}

impl QueryError {
    /// The server's code, where the server refused.
    pub fn code(&self) -> Option<&SqlState> {
        self.source.code()
    }

    /// The lock on shared tables that was not granted, if that is why.
    pub fn refusal(&self) -> Option<Refusal> {
        Refusal::read(self.source.as_db_error()?)
    }
}

/// For `map_err`: says what the statement was for.
pub fn query(doing: &'static str) -> impl FnOnce(tokio_postgres::Error) -> QueryError {
    move |source| QueryError { doing, source }
}
