//! Why an audit cannot be made.

use std::io;
use std::path::PathBuf;

use tokio_postgres::error::SqlState;

use super::{code, documents, relations};
use crate::postgres::{self, MigrateError, QueryError, TlsError, UrlError};
use crate::{dev_server, schema};

/// Why an audit cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No files, and no database.
    #[error("there is nothing to look at: give --migrations, --code or --docs, or a database")]
    Nothing,
    /// A directory without any SQL.
    #[error("there is no .sql file in {0}")]
    NoFiles(PathBuf),
    /// Somebody has told it to.
    #[error("the audit was stopped")]
    Stopped,
    /// A directory or a file of the project.
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] io::Error),
    /// The file of `--fix`.
    #[error("cannot write {0}")]
    Write(PathBuf, #[source] io::Error),
    /// The URL of the shadow.
    #[error("the URL of the shadow cannot be used")]
    Url(#[from] UrlError),
    /// The shadow's certificates.
    #[error("cannot set up TLS for the shadow")]
    Tls(#[from] TlsError),
    /// No connection.
    #[error(transparent)]
    Connect(#[from] postgres::Error),
    /// No throwaway server.
    #[error("there is no shadow: give an empty database by --shadow")]
    DevServer(#[from] dev_server::Error),
    /// Something is in the database that was given for the shadow.
    #[error(
        "the database given by --shadow is not empty: it has {0}. Give one that was created for the audit"
    )]
    NotEmpty(String),
    /// `--shadow` names the database that is compared.
    #[error(
        "--shadow names the database that is audited. Give another one there: it has to be empty, and the files run in copies of it"
    )]
    ShadowIsDatabase,
    /// Somebody has locked what has to be read.
    #[error(
        "the database cannot be read now, since these are locked: {0}. Run the audit again later"
    )]
    Locked(String),
    /// The server refused.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A catalog cannot be read.
    #[error("cannot compare schemas")]
    Schema(#[from] schema::Error),
    /// The catalog cannot be read for code and documents.
    #[error(transparent)]
    Relations(#[from] relations::Error),
    /// A directory of code.
    #[error(transparent)]
    Code(#[from] code::Error),
    /// A document.
    #[error(transparent)]
    Document(#[from] documents::Error),
    /// The platform's objects, or this program's, cannot be made on the shadow.
    #[error("cannot prepare the shadow")]
    Prepare(#[from] MigrateError),
}

impl Error {
    /// The server's code, where the server refused.
    pub(super) fn code(&self) -> Option<&SqlState> {
        if let Self::Query(error)
        | Self::Schema(schema::Error::Query(error))
        | Self::Relations(relations::Error::Query(error)) = self
        {
            return error.code();
        }
        None
    }

    /// Whether arguments or files have to change.
    pub(crate) fn is_bad_input(&self) -> bool {
        match self {
            Self::Nothing
            | Self::NoFiles(_)
            | Self::Read(..)
            | Self::Write(..)
            | Self::Url(_)
            | Self::Tls(_)
            | Self::NotEmpty(_)
            | Self::ShadowIsDatabase
            | Self::Code(_)
            | Self::Document(_) => true,
            Self::Stopped
            | Self::Connect(_)
            | Self::DevServer(_)
            | Self::Query(_)
            | Self::Locked(_)
            | Self::Schema(_)
            | Self::Relations(_)
            | Self::Prepare(_) => false,
        }
    }
}
