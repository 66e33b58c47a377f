//! Why work on an agent failed.

use tokio_postgres::error::SqlState;

use super::{AgentId, InvalidPrefix, InvalidReference, Refusal};
use crate::retry_policy::{RetryPolicy, Wait, retry_policy};

/// Why an agent could not be built or dropped. The caller rolls back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A statement of a template failed.
    #[error("cannot run {at}{}\"{head}\"", if at.is_empty() { "" } else { " " })]
    Statement {
        /// `file:line`; empty where it is from no file.
        at: String,
        /// Its first line.
        head: String,
        /// What the server said.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A statement of a template refers to `agents`, and the role may not.
    #[error(
        "cannot run {at}{}\"{head}\": the role may not refer to public.agents in this statement. Add the foreign key by one \
         that adds nothing else: alter table public.{{prefix}}_x add constraint … foreign key (…) references \
         public.agents (id) …; (docs/security.md, Foreign keys)", if at.is_empty() { "" } else { " " }
    )]
    Refers {
        /// `file:line`; empty where it is from no file.
        at: String,
        /// Its first line.
        head: String,
        /// What the server said.
        #[source]
        source: tokio_postgres::Error,
    },
    /// Another statement failed.
    #[error("cannot {doing}")]
    Query {
        /// What was tried.
        doing: &'static str,
        /// What the server said.
        #[source]
        source: tokio_postgres::Error,
    },
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
        .tables.join(", "), .mend.join("; ")
    )]
    NotAdopted {
        /// The agent's, as its row has it.
        prefix: String,
        /// Qualified and quoted.
        tables: Vec<String>,
        /// The statements that untie them from the agent's row.
        mend: Vec<String>,
    },
    /// Registered tables were renamed by hand, so they stay; but they hang on the agent's row.
    #[error(
        "nothing was deleted, since rows would go with the agent's row that are not kept: {}. Rename it back, \
         or run {}; then replay this job", .found.join("; "), .mend.join("; ")
    )]
    Renamed {
        /// The names now and once.
        found: Vec<String>,
        /// The statements that untie them from the agent's row.
        mend: Vec<String>,
    },
    /// Partitions, children or parents of the agent's tables are somebody else's.
    #[error(
        "{}, and nobody manages it: it cannot go with the agent. Run {}; then replay this job",
        .found.join(", "), .mend.join("; ")
    )]
    Attached {
        /// What is a part of what.
        found: Vec<String>,
        /// The statements that take them apart.
        mend: Vec<String>,
    },
    /// So many went within the hour already.
    #[error("paused: more than {0} deletions within an hour (deprovision.max_per_hour)")]
    Paused(u32),
    /// More agents were found to be gone than may be in an hour without anybody having asked for it.
    #[error(
        "paused: nobody asked for this deletion, and there are more than {0} such within an hour \
         (deprovision.max_unreported)"
    )]
    Unreported(u32),
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
    /// A prefix read from the database is none.
    #[error(transparent)]
    Prefix(#[from] InvalidPrefix),
    /// A reference read from the database is none.
    #[error(transparent)]
    Reference(#[from] InvalidReference),
    /// A connection of its own, for what no transaction may contain, cannot be had.
    #[error("cannot work outside the job's transaction")]
    Connect(#[source] Box<crate::db::Error>),
    /// Behind a transaction-mode pooler there is no such connection.
    #[error(
        "a template file that says `provisioner: concurrently` needs a direct or session-mode \
         connection: set database.listen_url, and replay this job"
    )]
    Pooled,
    /// What is looked at goes at that very moment; the next look does not find it.
    #[error("a table was dropped while it was looked at")]
    Vanished,
    /// The agent was built from more files than there are here.
    #[error("the agent is at template version {version}, and the files here end at {known}")]
    Outdated {
        /// The agent's.
        version: i32,
        /// The templates'.
        known: i32,
    },
    /// An index that was built concurrently did not become valid.
    #[error("the index {0} did not become valid")]
    Invalid(String),
}

impl Error {
    /// The server's code for it, where the server refused.
    pub fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Statement { source, .. }
            | Self::Refers { source, .. }
            | Self::Query { source, .. }
            | Self::Unproven { source } => source.code(),
            Self::InTheWay(_) => Some(&SqlState::DUPLICATE_TABLE),
            Self::Kept { .. }
            | Self::Swallowed(_)
            | Self::NotAdopted { .. }
            | Self::Renamed { .. }
            | Self::Attached { .. }
            | Self::NoTables
            | Self::Stray { .. }
            | Self::Realtime { .. }
            | Self::Pooled
            | Self::Paused(_)
            | Self::Unreported(_)
            | Self::Connect(_)
            | Self::Vanished
            | Self::Outdated { .. }
            | Self::Invalid(_) => None,
            Self::Prefix(_) | Self::Reference(_) => Some(&SqlState::CHECK_VIOLATION),
        }
    }

    /// The lock on shared tables that was not to be had, if that is why.
    pub fn refusal(&self) -> Option<Refusal> {
        if let Self::Statement { source, .. } | Self::Query { source, .. } = self {
            return Refusal::read(source.as_db_error()?);
        }
        None
    }

    /// Whether configuration or templates have to be mended, and the server is not to blame.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::NoTables | Self::Stray { .. } | Self::Realtime { .. } | Self::Refers { .. } => {
                true
            }
            Self::Statement { .. }
            | Self::Query { .. }
            | Self::Kept { .. }
            | Self::Unproven { .. }
            | Self::Swallowed(_)
            | Self::NotAdopted { .. }
            | Self::Renamed { .. }
            | Self::Attached { .. }
            | Self::InTheWay(_)
            | Self::Prefix(_)
            | Self::Reference(_)
            | Self::Connect(_)
            | Self::Pooled
            | Self::Paused(_)
            | Self::Unreported(_)
            | Self::Vanished
            | Self::Outdated { .. }
            | Self::Invalid(_) => false,
        }
    }

    /// What the job does next.
    pub fn retry_policy(&self) -> RetryPolicy {
        match self {
            Self::NoTables
            | Self::Stray { .. }
            | Self::Realtime { .. }
            | Self::Refers { .. }
            | Self::Pooled
            | Self::Kept { .. }
            | Self::Swallowed(_)
            | Self::NotAdopted { .. }
            | Self::Renamed { .. }
            | Self::Attached { .. } => RetryPolicy::Fail,
            Self::Unproven { .. } => RetryPolicy::RetryWithoutCounting(Wait::Seconds),
            Self::Paused(_) | Self::Unreported(_) => RetryPolicy::Pause,
            Self::Statement { .. }
            | Self::Query { .. }
            | Self::InTheWay(_)
            | Self::Prefix(_)
            | Self::Reference(_)
            | Self::Connect(_)
            | Self::Vanished
            | Self::Outdated { .. }
            | Self::Invalid(_) => retry_policy(self.code()),
        }
    }
}

pub(super) fn query(doing: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Error {
    move |source| Error::Query { doing, source }
}

/// The same for a question that must not be answered by what row security lets one see.
pub(super) fn proof(doing: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Error {
    move |source| match source.code() {
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Error::Unproven { source },
        _ => Error::Query { doing, source },
    }
}

/// That a statement wrote its one row: row security, a rule or a trigger may have swallowed it.
pub(super) fn written(rows: u64, table: &'static str) -> Result<(), Error> {
    if rows == 1 { Ok(()) } else { Err(Error::Swallowed(table)) }
}
