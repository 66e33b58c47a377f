//! Why there is no connection, or why a statement on it failed.

use std::time::Duration;

use deadpool_postgres::PoolError;

/// Why there is no connection, or why a statement on it failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection could be made.
    #[error("cannot connect to {place}")]
    Connect {
        /// User, hosts with ports, database.
        place: String,
        /// Of the last host that was tried.
        #[source]
        source: tokio_postgres::Error,
    },
    /// Nothing answered in time, which is measured by `database.connect_timeout`.
    #[error("cannot connect to {place}: no answer within {limit:?}")]
    Timeout {
        /// User, hosts with ports, database.
        place: String,
        /// The time that was given.
        limit: Duration,
    },
    /// A connection is there, but what was asked on it is not answered.
    #[error("no answer within {0:?}")]
    Silent(Duration),
    /// The pool gave no connection.
    #[error("cannot take a connection from the pool")]
    Pool(#[source] Box<PoolError>),
    /// The pool cannot be set up.
    #[error("cannot set up the connection pool")]
    Build(#[from] deadpool_postgres::BuildError),
    /// The server refused a statement.
    #[error("the database refused")]
    Query(#[from] tokio_postgres::Error),
}
