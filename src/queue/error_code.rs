//! Why an attempt failed, as a code of ours.

use std::error::Error;

use serde::Serialize;
use tokio_postgres::error::DbError;

/// Why an attempt failed. The names are stable: they stand in `provisioning.jobs.last_error_code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ErrorCode {
    /// The server refused a statement. The SQLSTATE says why.
    StatementFailed,
    /// The connection broke, or no answer came.
    ConnectionLost,
    /// The program panicked.
    Panic,
    /// Relations of others bear the names that the templates give.
    RelationInTheWay,
    /// The prefix belongs to a former agent whose tables are kept.
    PrefixKept,
    /// The prefix is against the rule.
    InvalidPrefix,
    /// Row security may hide the agent's row.
    AbsenceUnproven,
    /// A rule, a trigger or a policy swallowed a row that was written.
    WriteIgnored,
    /// Tables of the agent were never adopted.
    TablesNotAdopted,
    /// Registered tables were renamed.
    TablesRenamed,
    /// Partitions, children or parents of the tables are not managed.
    TablesAttached,
    /// A table was dropped while it was looked at.
    TableVanished,
    /// An index that was built concurrently is not valid.
    IndexInvalid,
    /// More deletions than `deprovision.max_per_hour`.
    DeletionLimit,
    /// More deletions that nobody asked for than `deprovision.max_unreported`.
    UnreportedDeletions,
    /// Another database is about to have the agent.
    AgentMoving,
    /// The worker has fewer template files than the agent was built from.
    TemplatesOutdated,
    /// The templates make what no agent can have.
    TemplatesUnusable,
    /// A repair would run other statements than those that were confirmed.
    PlanChanged,
    /// A template refers to `agents` in a statement that may not.
    ReferenceRefused,
    /// A template file needs a direct connection, and the worker has none.
    DirectConnectionNeeded,
}

impl ErrorCode {
    /// Every one.
    pub(crate) const ALL: [Self; 21] = [
        Self::StatementFailed,
        Self::ConnectionLost,
        Self::Panic,
        Self::RelationInTheWay,
        Self::PrefixKept,
        Self::InvalidPrefix,
        Self::AbsenceUnproven,
        Self::WriteIgnored,
        Self::TablesNotAdopted,
        Self::TablesRenamed,
        Self::TablesAttached,
        Self::TableVanished,
        Self::IndexInvalid,
        Self::DeletionLimit,
        Self::UnreportedDeletions,
        Self::AgentMoving,
        Self::TemplatesOutdated,
        Self::TemplatesUnusable,
        Self::PlanChanged,
        Self::ReferenceRefused,
        Self::DirectConnectionNeeded,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::StatementFailed => "statement_failed",
            Self::ConnectionLost => "connection_lost",
            Self::Panic => "panic",
            Self::RelationInTheWay => "relation_in_the_way",
            Self::PrefixKept => "prefix_kept",
            Self::InvalidPrefix => "invalid_prefix",
            Self::AbsenceUnproven => "absence_unproven",
            Self::WriteIgnored => "write_ignored",
            Self::TablesNotAdopted => "tables_not_adopted",
            Self::TablesRenamed => "tables_renamed",
            Self::TablesAttached => "tables_attached",
            Self::TableVanished => "table_vanished",
            Self::IndexInvalid => "index_invalid",
            Self::DeletionLimit => "deletion_limit",
            Self::UnreportedDeletions => "unreported_deletions",
            Self::AgentMoving => "agent_moving",
            Self::TemplatesOutdated => "templates_outdated",
            Self::TemplatesUnusable => "templates_unusable",
            Self::PlanChanged => "plan_changed",
            Self::ReferenceRefused => "reference_refused",
            Self::DirectConnectionNeeded => "direct_connection_needed",
        }
    }

    /// `None`: no code of this program's.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == name)
    }
}

/// The parts of an attempt's error, under the names that `provisioning.record_failure` knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ErrorParts {
    pub(crate) code: ErrorCode,
    pub(crate) sqlstate: Option<String>,
    /// The template file of the statement that failed.
    pub(crate) file: Option<String>,
    /// Its line there, from 1.
    pub(crate) line: Option<usize>,
    /// Its first line.
    pub(crate) statement: Option<String>,
    pub(crate) detail: Option<String>,
    pub(crate) hint: Option<String>,
    /// What the error is about, qualified and quoted.
    pub(crate) relations: Vec<String>,
}

impl ErrorParts {
    /// Of an error that no server gave.
    pub(crate) fn of(code: ErrorCode) -> Self {
        Self {
            code,
            sqlstate: None,
            file: None,
            line: None,
            statement: None,
            detail: None,
            hint: None,
            relations: Vec::new(),
        }
    }

    /// With what the server said, where the error or one of its causes is the server's.
    pub(crate) fn with_cause(mut self, error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(db) = error.downcast_ref::<DbError>() {
                self.detail = db.detail().map(ToOwned::to_owned);
                self.hint = db.hint().map(ToOwned::to_owned);
                self.sqlstate = Some(db.code().code().to_owned());
            }
            next = error.source();
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_written_as_it_is_read_and_fits_its_column() {
        for code in &ErrorCode::ALL {
            let name = serde_json::to_value(code).unwrap();
            let name = name.as_str().unwrap();
            assert_eq!(ErrorCode::parse(name), Some(*code));
            assert!(name.len() <= 40 && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
        }
        assert_eq!(ErrorCode::parse("of_a_newer_program"), None);
    }

    #[test]
    fn the_documentation_has_every_code() {
        // Read and not embedded: the container's build does not have it.
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schema.md");
        let documented = std::fs::read_to_string(file).unwrap();
        let section = documented.split("\n## Error codes\n").nth(1).unwrap();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let codes = ErrorCode::ALL
            .iter()
            .map(|code| serde_json::to_value(code).unwrap().as_str().unwrap().to_owned());
        assert_eq!(rows.collect::<Vec<_>>(), codes.collect::<Vec<_>>());
    }
}
