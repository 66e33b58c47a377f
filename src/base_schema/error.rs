//! Why the base schema cannot be compared or put back.

use tokio_postgres::error::SqlState;

use crate::postgres::{MigrateError, QueryError};
use crate::schema;

/// Why the base schema cannot be compared or put back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The catalog cannot be read.
    #[error("cannot compare the base schema")]
    Catalog(#[from] schema::Error),
    /// The schema cannot be changed.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// A line of `sql/base/facts.jsonl` is none.
    #[error("sql/base/facts.jsonl:{0} is no fact")]
    NoFact(usize),
}

impl Error {
    /// The server's code for it, where the server refused.
    pub(crate) fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Query(error) => error.code(),
            Self::Catalog(error) => error.code(),
            Self::Migrate(MigrateError::Query { source, .. }) => source.code(),
            Self::Migrate(_) | Self::NoFact(_) => None,
        }
    }
}
