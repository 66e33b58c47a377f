//! Why the base schema cannot be compared or put back.

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
