//! Why work on an agent failed.

use tokio_postgres::error::SqlState;

use crate::agent::{AgentId, InvalidPrefix, InvalidReference, Prefix};
use crate::postgres::{QueryError, Refusal};
use crate::queue::{ErrorCode, ErrorParts, RetryPolicy, policy_of};
use crate::{schema, templates};

/// Why an agent could not be built or dropped. The caller rolls back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Template(#[from] templates::Error),
    #[error(transparent)]
    Schema(#[from] schema::Error),
    #[error(transparent)]
    Query(#[from] QueryError),
    /// Somebody else's relations bear the names.
    #[error(
        "{} already exists and is not managed by agent-provisioner: rename or drop it, \
         then replay this job", .0.join(", ")
    )]
    InTheWay(Vec<String>),
    /// An operator has cancelled the deletion of the agent that had the prefix before.
    #[error(
        "the prefix still belongs to agent {agent}, whose tables were kept when its deletion, job {job}, was \
         cancelled. To delete that agent after all run `agent-provisioner jobs replay {job}`. To bring it back \
         delete this agent's row, and insert the other's with its id. Then replay this job"
    )]
    Kept {
        /// Whose row is gone.
        agent: AgentId,
        /// The cancelled deletion.
        job: i64,
        /// Qualified and quoted.
        tables: Vec<String>,
    },
    /// Row security may hide the agent's row from the very functions that prove whether it exists.
    #[error(
        "cannot prove whether the agent still exists, so nothing is dropped: row security is forced on a \
         table for its own owner, who has no BYPASSRLS; alter table public.agents no force row level security"
    )]
    Unproven {
        /// What the server said, with the table.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A statement that had a row to write wrote none.
    #[error(
        "{0} did not take a row that was written: look for a rule, a trigger or a policy on it, \
         then replay this job"
    )]
    Swallowed(&'static str),
    /// Tables that an older trigger built for an agent were never taken over.
    #[error(
        "nothing was deleted, since nobody manages {}: with the agent's row the rows in there would go, or \
         keep it. If these tables are the agent's run `agent-provisioner agents adopt {prefix} --yes`. To \
         keep them run {}. Then replay this job",
        .tables.join(", "), .fixes.join("; ")
    )]
    NotAdopted {
        /// The agent's, as its row has it.
        prefix: String,
        /// Qualified and quoted.
        tables: Vec<String>,
        /// The statements that untie them from the agent's row.
        fixes: Vec<String>,
    },
    /// Somebody renamed registered tables.
    #[error(
        "nothing was deleted, since tables of the agent have other names now: {}. Run {}; then replay this job",
        listed(.0, Renamed::told, "; "),
        listed(.0, |table| table.fix.clone(), "; ")
    )]
    Renamed(Vec<Renamed>),
    /// Partitions, children or parents of the agent's tables are somebody else's.
    #[error(
        "{}, and nobody manages it: it cannot go with the agent. Run {}; then replay this job",
        listed(.0, |attached| attached.found.clone(), ", "), listed(.0, |attached| attached.fix.clone(), "; ")
    )]
    Attached(Vec<Attached>),
    /// So many went within the hour already.
    #[error(
        "paused: more than {most} deletion{s} within an hour (deprovision.max_per_hour)",
        most = .0, s = if *.0 == 1 { "" } else { "s" }
    )]
    Paused(u32),
    /// More agents were found to be gone than may be in an hour without anybody having asked for it.
    #[error(
        "paused: nobody asked for this deletion, and there are more than {0} such within an hour \
         (deprovision.max_unreported)"
    )]
    Unreported(u32),
    /// A prefix read from the database is none.
    #[error(transparent)]
    Prefix(#[from] InvalidPrefix),
    /// A reference read from the database is none.
    #[error(transparent)]
    Reference(#[from] InvalidReference),
    /// A connection of its own, for what no transaction may contain, cannot be had.
    #[error("cannot work outside the job's transaction")]
    Connect(#[source] Box<crate::postgres::Error>),
    /// Behind a transaction-mode pooler there is no such connection.
    #[error(
        "a template file that says `provisioner: concurrently` needs a direct or session-mode \
         connection: set database.listen_url, and replay this job"
    )]
    Pooled,
    /// The agent was built from more files than there are here.
    #[error("the agent is at template version {version}, and the files here end at {known}")]
    Outdated {
        /// The agent's.
        version: i32,
        /// The templates'.
        known: i32,
    },
    /// Something has changed since somebody confirmed what the repair would run.
    #[error(
        "the repair would run other statements than those that were confirmed: their checksum is {0} now. \
         Nothing was done. See what it would run: agents repair {1} --dry-run; then confirm that"
    )]
    PlanChanged(String, Prefix),
    /// An index that was built concurrently did not become valid.
    #[error("the index {0} did not become valid")]
    Invalid(String),
}

/// A registered table that somebody renamed.
#[derive(Clone, Debug)]
pub(crate) struct Renamed {
    /// Qualified and quoted.
    pub(crate) name: String,
    /// As it is registered.
    pub(crate) once: String,
    /// What bears that name now, and whose it is.
    pub(crate) twin: Option<String>,
    /// The statements that give it that name again.
    pub(crate) fix: String,
}

impl Renamed {
    fn told(&self) -> String {
        let Self { name, once, twin, .. } = self;
        match twin {
            Some(twin) => format!("{name}, once {once}, in whose place now stands {twin}"),
            None => format!("{name}, once {once}"),
        }
    }
}

/// A relation of somebody's that hangs together with an agent's table.
#[derive(Debug)]
pub(crate) struct Attached {
    /// Its name, qualified and quoted.
    pub(crate) stranger: String,
    /// Which is a part of which.
    pub(crate) found: String,
    /// The statement that takes the two apart.
    pub(crate) fix: String,
}

impl Error {
    /// The server's code for it, where the server refused.
    pub(crate) fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Template(error) => error.code(),
            Self::Schema(error) => error.code(),
            Self::Query(error) => error.code(),
            Self::Unproven { source } => source.code(),
            Self::InTheWay(_) => Some(&SqlState::DUPLICATE_TABLE),
            Self::Prefix(_) | Self::Reference(_) => Some(&SqlState::CHECK_VIOLATION),
            Self::Kept { .. }
            | Self::Swallowed(_)
            | Self::NotAdopted { .. }
            | Self::Renamed(_)
            | Self::Attached(_)
            | Self::Pooled
            | Self::Paused(_)
            | Self::Unreported(_)
            | Self::Connect(_)
            | Self::Outdated { .. }
            | Self::PlanChanged(..)
            | Self::Invalid(_) => None,
        }
    }

    /// The error in parts, as the job's record keeps it.
    pub(crate) fn parts(&self) -> ErrorParts {
        let mut parts = ErrorParts::of(self.error_code()).with_cause(self);
        parts.sqlstate = self.code().map(|code| code.code().to_owned());
        if let Self::Template(error) = self
            && let Some((at, head)) = error.statement()
        {
            parts.file = at.map(|at| at.file.clone());
            parts.line = at.map(|at| at.line);
            parts.statement = Some(head.to_owned());
        }
        parts.relations = match self {
            Self::InTheWay(names)
            | Self::NotAdopted { tables: names, .. }
            | Self::Kept { tables: names, .. } => names.clone(),
            Self::Renamed(tables) => tables.iter().map(|table| table.name.clone()).collect(),
            Self::Attached(attached) => attached.iter().map(|a| a.stranger.clone()).collect(),
            Self::Swallowed(table) => vec![(*table).to_owned()],
            Self::Invalid(index) => vec![index.clone()],
            Self::Template(_)
            | Self::Schema(_)
            | Self::Query(_)
            | Self::Unproven { .. }
            | Self::Prefix(_)
            | Self::Reference(_)
            | Self::Pooled
            | Self::Paused(_)
            | Self::Unreported(_)
            | Self::Connect(_)
            | Self::Outdated { .. }
            | Self::PlanChanged(..) => Vec::new(),
        };
        parts
    }

    fn error_code(&self) -> ErrorCode {
        let of_statement = || match self.code() {
            Some(_) => ErrorCode::StatementFailed,
            None => ErrorCode::ConnectionLost,
        };
        match self {
            Self::Template(error) => match error {
                templates::Error::Refers { .. } => ErrorCode::ReferenceRefused,
                templates::Error::NoTables
                | templates::Error::Stray { .. }
                | templates::Error::Realtime { .. } => ErrorCode::TemplatesUnusable,
                templates::Error::Prefix(_) => ErrorCode::InvalidPrefix,
                templates::Error::Schema(schema::Error::Vanished) => ErrorCode::TableVanished,
                templates::Error::Statement { .. }
                | templates::Error::Advised { .. }
                | templates::Error::Query(_)
                | templates::Error::Schema(schema::Error::Query(_)) => of_statement(),
            },
            Self::Schema(schema::Error::Vanished) => ErrorCode::TableVanished,
            Self::Schema(schema::Error::Query(_)) | Self::Query(_) | Self::Reference(_) => {
                of_statement()
            }
            Self::InTheWay(_) => ErrorCode::RelationInTheWay,
            Self::Kept { .. } => ErrorCode::PrefixKept,
            Self::Unproven { .. } => ErrorCode::AbsenceUnproven,
            Self::Swallowed(_) => ErrorCode::WriteIgnored,
            Self::NotAdopted { .. } => ErrorCode::TablesNotAdopted,
            Self::Renamed(_) => ErrorCode::TablesRenamed,
            Self::Attached(_) => ErrorCode::TablesAttached,
            Self::Paused(_) => ErrorCode::DeletionLimit,
            Self::Unreported(_) => ErrorCode::UnreportedDeletions,
            Self::Prefix(_) => ErrorCode::InvalidPrefix,
            Self::Connect(_) => ErrorCode::ConnectionLost,
            Self::Pooled => ErrorCode::DirectConnectionNeeded,
            Self::Outdated { .. } => ErrorCode::TemplatesOutdated,
            Self::PlanChanged(..) => ErrorCode::PlanChanged,
            Self::Invalid(_) => ErrorCode::IndexInvalid,
        }
    }

    /// The lock on shared tables that was not granted, if that is why.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Template(error) => error.refusal(),
            Self::Query(error) => error.refusal(),
            Self::Schema(_)
            | Self::Unproven { .. }
            | Self::InTheWay(_)
            | Self::Prefix(_)
            | Self::Reference(_)
            | Self::Kept { .. }
            | Self::Swallowed(_)
            | Self::NotAdopted { .. }
            | Self::Renamed(_)
            | Self::Attached(_)
            | Self::Pooled
            | Self::Paused(_)
            | Self::Unreported(_)
            | Self::Connect(_)
            | Self::Outdated { .. }
            | Self::PlanChanged(..)
            | Self::Invalid(_) => None,
        }
    }

    /// Whether something was dropped while it was looked at: another look does not find it.
    pub(crate) fn is_vanished(&self) -> bool {
        matches!(
            self,
            Self::Schema(schema::Error::Vanished)
                | Self::Template(templates::Error::Schema(schema::Error::Vanished))
        )
    }

    /// Whether configuration or templates have to change, and the server is not to blame.
    pub(crate) fn is_configuration(&self) -> bool {
        matches!(self, Self::Template(error) if error.is_configuration())
    }

    /// What the job does next.
    pub(crate) fn retry_policy(&self) -> RetryPolicy {
        policy_of(self.error_code(), self.code())
    }
}

fn listed<T>(all: &[T], show: impl Fn(&T) -> String, between: &str) -> String {
    all.iter().map(show).collect::<Vec<_>>().join(between)
}

pub(crate) fn query(doing: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Error {
    move |source| QueryError { doing, source }.into()
}

/// The same for a question that must not be answered by what row security lets one see.
pub(crate) fn proof(doing: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Error {
    move |source| match source.code() {
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Error::Unproven { source },
        _ => QueryError { doing, source }.into(),
    }
}

/// That a statement wrote its one row: row security, a rule or a trigger may have swallowed it.
pub(crate) fn written(rows: u64, table: &'static str) -> Result<(), Error> {
    if rows == 1 { Ok(()) } else { Err(Error::Swallowed(table)) }
}
