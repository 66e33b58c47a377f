//! One thing that was looked at.

use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::error::SqlState;

/// What ends a full disk.
pub(super) const DISK_FULL: &str =
    "make room on the server's disk; jobs are then tried again by themselves";

#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// As it should be.
    Ok,
    /// The service works, for now or not as well as it could.
    Warning,
    /// The service cannot work.
    Failure,
}

/// One thing that was looked at.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// The same for the same finding at every look.
    pub key: String,
    /// What was looked at, in a word or two.
    pub what: &'static str,
    /// What was seen, and why it matters.
    pub found: String,
    /// What to run or to change; of what is as it should be, what else could be chosen.
    pub fix: Option<String>,
    /// Somebody has accepted it.
    pub accepted: Option<Acceptance>,
}

impl Finding {
    fn new(severity: Severity, what: &'static str, found: String, fix: Option<String>) -> Self {
        Self { severity, key: slug(what), what, found, fix, accepted: None }
    }

    /// One of several of its kind: what it is about is part of its key.
    pub(super) fn about(self, subject: &str) -> Self {
        Self { key: format!("{}/{}", slug(self.what), slug(subject)), ..self }
    }

    pub(super) fn with_fix(self, fix: String) -> Self {
        Self { fix: Some(fix), ..self }
    }
}

/// What needs no quotes in a shell.
fn slug(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    text.chars().map(plain).take(140).collect()
}

/// That a finding is accepted.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct Acceptance {
    pub key: String,
    /// It is not accepted once it is worse.
    pub severity: Severity,
    pub reason: String,
    /// The role, and the person behind it where one is known.
    pub accepted_by: String,
    /// RFC 3339, in UTC.
    pub accepted_at: String,
    /// The last day, in UTC; null: for good.
    pub until: Option<String>,
    /// That day is not over.
    pub holds: bool,
}

impl Acceptance {
    /// Whether this is what was accepted, and no worse.
    pub(super) fn covers(&self, finding: &Finding) -> bool {
        let is_as_bad = finding.severity != Severity::Failure || self.severity == Severity::Failure;
        self.holds && self.key == finding.key && is_as_bad
    }
}

/// A number, and the words for one and for several.
pub(super) fn number(number: i64, [one, several]: [&str; 2]) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

pub(super) fn ok(what: &'static str, found: String) -> Finding {
    Finding::new(Severity::Ok, what, found, None)
}

pub(super) fn warning(what: &'static str, found: String, fix: &str) -> Finding {
    Finding::new(Severity::Warning, what, found, Some(fix.to_owned()))
}

pub(super) fn failure(what: &'static str, found: String, fix: &str) -> Finding {
    Finding::new(Severity::Failure, what, found, Some(fix.to_owned()))
}

/// What could not be looked at. That somebody has a table locked says nothing of it.
pub(super) fn unseen(
    what: &'static str,
    code: Option<&SqlState>,
    found: String,
    fix: &str,
) -> Finding {
    if code != Some(&SqlState::LOCK_NOT_AVAILABLE) {
        return failure(what, found, fix);
    }
    let fix = "look again when that is over; who it is: select a.pid, a.usename, a.application_name, a.state, a.xact_start \
               from pg_locks l join pg_stat_activity a on a.pid = l.pid where l.relation = 'public.agents'::regclass \
               and l.granted; then, if nobody needs it: select pg_terminate_backend(PID);";
    warning(what, format!("cannot be looked at while somebody has a table locked: {found}"), fix)
}
