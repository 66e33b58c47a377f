//! Why templates cannot be run, or not be used.

use tokio_postgres::error::SqlState;

use super::script::FileLine;
use crate::agent::InvalidPrefix;
use crate::postgres::{QueryError, Refusal};
use crate::schema;

/// Why templates cannot be run, or not be used. The caller rolls back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A statement of a template failed.
    #[error("cannot run {}\"{head}\"", before(at.as_ref()))]
    Statement {
        /// Where it stands; `None` where it is from no file.
        at: Option<FileLine>,
        /// Its first line.
        head: String,
        /// What the server said.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A statement of a template refers to `agents`, and the role may not.
    #[error(
        "cannot run {}\"{head}\": the role may not refer to public.agents in this statement. Add the foreign key by one \
         that adds nothing else: alter table public.{{prefix}}_x add constraint … foreign key (…) references \
         public.agents (id) …; (docs/security.md, Foreign keys)", before(at.as_ref())
    )]
    Refers {
        /// Where it stands; `None` where it is from no file.
        at: Option<FileLine>,
        /// Its first line.
        head: String,
        /// What the server said.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A statement of a template failed, and there is another way.
    #[error("cannot run {}\"{head}\": {advice}", before(at.as_ref()))]
    Advised {
        /// Where it stands; `None` where it is from no file.
        at: Option<FileLine>,
        /// Its first line.
        head: String,
        /// What to write, or to grant.
        advice: String,
        /// What the server said.
        #[source]
        source: tokio_postgres::Error,
    },
    /// The templates make no table named after the prefix.
    #[error("the templates create no table public.{{prefix}}_…")]
    NoTables,
    /// The templates make something that no agent can have.
    #[error("template {at}: {reason}")]
    Stray {
        /// `file:line`.
        at: String,
        /// What it is, and what to do about it.
        reason: String,
    },
    /// The configuration publishes a table that is not there.
    #[error(
        "realtime names {name:?}, and the templates make no table {{prefix}}_{name}: they make {}",
        .tables.join(", ")
    )]
    Realtime {
        /// As the configuration has it.
        name: String,
        /// What it might name.
        tables: Vec<String>,
    },
    /// Another statement failed.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// What the templates made cannot be read.
    #[error(transparent)]
    Schema(#[from] schema::Error),
    /// A prefix cannot be made.
    #[error(transparent)]
    Prefix(#[from] InvalidPrefix),
}

fn before(at: Option<&FileLine>) -> String {
    at.map(|at| format!("{at} ")).unwrap_or_default()
}

impl Error {
    /// Where the statement that failed stands, and its first line.
    pub fn statement(&self) -> Option<(Option<&FileLine>, &str)> {
        match self {
            Self::Statement { at, head, .. }
            | Self::Refers { at, head, .. }
            | Self::Advised { at, head, .. } => Some((at.as_ref(), head)),
            Self::NoTables
            | Self::Stray { .. }
            | Self::Realtime { .. }
            | Self::Query(_)
            | Self::Schema(_)
            | Self::Prefix(_) => None,
        }
    }

    /// The server's code for it, where the server refused.
    pub fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Statement { source, .. }
            | Self::Refers { source, .. }
            | Self::Advised { source, .. } => source.code(),
            Self::Query(error) => error.code(),
            Self::Schema(error) => error.code(),
            Self::Prefix(_) => Some(&SqlState::CHECK_VIOLATION),
            Self::NoTables | Self::Stray { .. } | Self::Realtime { .. } => None,
        }
    }

    /// The lock on shared tables that was not granted, if that is why.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Statement { source, .. } => Refusal::read(source.as_db_error()?),
            Self::Query(error) => error.refusal(),
            Self::Refers { .. }
            | Self::Advised { .. }
            | Self::Schema(_)
            | Self::Prefix(_)
            | Self::NoTables
            | Self::Stray { .. }
            | Self::Realtime { .. } => None,
        }
    }

    /// Whether configuration or templates have to change, and the server is not to blame.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::NoTables
            | Self::Stray { .. }
            | Self::Realtime { .. }
            | Self::Refers { .. }
            | Self::Advised { .. } => true,
            Self::Statement { .. } | Self::Query(_) | Self::Schema(_) | Self::Prefix(_) => false,
        }
    }
}

pub(crate) fn query(doing: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Error {
    move |source| QueryError { doing, source }.into()
}
