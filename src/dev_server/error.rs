//! The failures of a [`DevServer`](super::DevServer).

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

/// The longest wait for the server.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What kept a cluster from starting or stopping.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no server to run; says where it was looked for.
    #[error(
        "no PostgreSQL server (initdb and postgres) in {0}; \
         install one (apt-get install postgresql) or set PG_BIN_DIR"
    )]
    NoBinaries(String),
    /// The system refused something.
    #[error("could not {0}")]
    Io(String, #[source] io::Error),
    /// A program, named first, ended in failure. Last what it said: of the server, the log's end.
    #[error("{0} failed ({1}): {2}")]
    Failed(&'static str, ExitStatus, String),
    /// The server neither reached the state named first nor failed. Then the log's end.
    #[error("the server is not {0} after {PATIENCE:?}; its log ends: {1}")]
    Stuck(&'static str, String),
}

pub(crate) fn could_not(verb: &str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io(verb.to_owned(), source)
}
