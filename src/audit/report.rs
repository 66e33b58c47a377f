//! What an audit says.

use std::fmt;

use serde::Serialize;

use super::finding::{Finding, Severity};
use super::ignore::Ignores;

/// What an audit says.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// One row for each object of the files or the database.
    pub status: Vec<Status>,
    /// The files in the order in which they ran, without those that never did.
    pub order: Vec<String>,
    /// What is wrong, the worst first.
    pub findings: Vec<Finding>,
    /// What was not looked at, and why: one sentence each.
    pub unchecked: Vec<String>,
    /// The comments in the files that leave findings out: see [`Report::finish`].
    #[serde(skip)]
    pub ignores: Ignores,
}

/// Whether an object is in the database as the files make it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Such as `table` or `policy`.
    pub component: &'static str,
    /// Qualified and quoted.
    pub object: String,
    /// Whether the files make it.
    pub in_files: bool,
    /// Whether the database has it.
    pub in_database: bool,
    /// `synced`, `partial` (a table that is there, and something of it is not), `missing`, `extra` or `different`.
    pub status: &'static str,
}

/// How many findings of each severity there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// [`Severity::Error`].
    pub errors: usize,
    /// [`Severity::Warning`].
    pub warnings: usize,
    /// [`Severity::Note`].
    pub notes: usize,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |number: usize, noun: &str| {
            format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
        };
        let (errors, warnings) = (count(self.errors, "error"), count(self.warnings, "warning"));
        write!(f, "{errors}, {warnings}, {}", count(self.notes, "note"))
    }
}

impl Report {
    /// Every text that files or servers have a part in.
    pub(super) fn texts(&mut self) -> impl Iterator<Item = &mut String> {
        let objects = self.status.iter_mut().map(|row| &mut row.object);
        let findings = self.findings.iter_mut().flat_map(Finding::texts);
        findings.chain(objects).chain(&mut self.order).chain(&mut self.unchecked)
    }

    /// Counts the findings.
    pub fn summary(&self) -> Summary {
        let count = |severity| self.findings.iter().filter(|it| it.severity == severity).count();
        Summary {
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
            notes: count(Severity::Note),
        }
    }

    /// Whether a finding is as bad as this, or worse.
    pub fn fails_on(&self, severity: Severity) -> bool {
        self.findings.iter().any(|finding| finding.severity >= severity)
    }
}
