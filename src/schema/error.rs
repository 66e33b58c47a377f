//! Why the catalog cannot be read.

use tokio_postgres::error::SqlState;

use crate::postgres::QueryError;

/// Why the catalog cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Query(#[from] QueryError),
    /// What is looked at goes at that very moment; the next look does not find it.
    #[error("a table was dropped while it was looked at")]
    Vanished,
}

impl Error {
    /// The server's code for it, where the server refused.
    pub fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Query(error) => error.code(),
            Self::Vanished => None,
        }
    }
}

pub(crate) fn query(doing: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Error {
    move |source| QueryError { doing, source }.into()
}
