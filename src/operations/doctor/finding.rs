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
    /// What was looked at, in a word or two.
    pub what: &'static str,
    /// What was seen, and why it matters.
    pub found: String,
    /// What to run or to change; of what is as it should be, what else could be chosen.
    pub fix: Option<String>,
}

/// A number, and the words for one and for several.
pub(super) fn number(number: i64, [one, several]: [&str; 2]) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

pub(super) fn ok(what: &'static str, found: String) -> Finding {
    Finding { severity: Severity::Ok, what, found, fix: None }
}

pub(super) fn warning(what: &'static str, found: String, fix: &str) -> Finding {
    Finding { severity: Severity::Warning, what, found, fix: Some(fix.to_owned()) }
}

pub(super) fn failure(what: &'static str, found: String, fix: &str) -> Finding {
    Finding { severity: Severity::Failure, what, found, fix: Some(fix.to_owned()) }
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
