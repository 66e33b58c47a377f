//! What a failed attempt leads to: one table by SQLSTATE, and one for the failures that no server reports.

use std::time::Duration;

use RetryPolicy::{Retry, RetryWithoutCounting};
use tokio_postgres::error::SqlState;

use super::error_code::ErrorCode;

/// What a failed attempt leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetryPolicy {
    /// The job is tried again, and the attempt does not count: the agent is not the cause.
    RetryWithoutCounting(Wait),
    /// The attempt counts. The job is tried again with a growing wait, and is dead after `worker.max_attempts`.
    Retry,
    /// The job is dead at once: it would fail the same way again, and a person has to act.
    Fail,
    /// The job is paused until an operator approves it. Nothing has failed.
    Pause,
}

/// How long a job waits that is tried again without counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// 0.1 to 1 s: a lock is soon free.
    Moment,
    /// 2 to 8 s: somebody has to change a setting, and then the job is to go on at once.
    Seconds,
    /// 1 to 4 minutes: a full disk stays full for a while, and each try makes it fuller.
    Minutes,
}

impl Wait {
    /// A duration of this kind; `jitter` is drawn from 0..1.
    pub(crate) fn draw(self, jitter: f64) -> Duration {
        let (least, most) = match self {
            Self::Moment => (0.1, 1.0),
            Self::Seconds => (2.0, 8.0),
            Self::Minutes => (60.0, 240.0),
        };
        Duration::from_secs_f64(least + (most - least) * jitter)
    }
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// A SQLSTATE, or its first two characters for the whole class. The longer one wins.
    pub sqlstate: &'static str,
    /// What happens.
    pub policy: RetryPolicy,
    pub why: &'static str,
}

const fn rule(sqlstate: &'static str, policy: RetryPolicy, why: &'static str) -> Rule {
    Rule { sqlstate, policy, why }
}

/// Every SQLSTATE that is retried; all others fail. Source: PostgreSQL manual, appendix A.
pub(crate) const RULES: [Rule; 12] = [
    rule("08", Retry, "the connection broke"),
    rule("25006", Retry, "the server is read-only: a standby, or a primary that was demoted"),
    rule("25P03", Retry, "the server ended a transaction that was idle for too long"),
    rule("25P04", Retry, "the server ended a transaction that took too long"),
    rule("40", Retry, "a deadlock or a serialization failure: the other session went first"),
    rule("53", Retry, "the server is short of connections or memory"),
    rule("53100", RetryWithoutCounting(Wait::Minutes), "the server's disk is full"),
    rule("54000", Retry, "the queue of notifications is full: some session does not read its own"),
    rule("55P03", RetryWithoutCounting(Wait::Moment), "somebody else holds the lock"),
    rule("57", Retry, "the server stops, starts, or cancelled the statement"),
    rule("58", Retry, "the server's disk or file system failed"),
    rule("XX000", Retry, "somebody else changed the same row of a system catalog, as by a GRANT"),
];

/// The policy for an error. An error without a SQLSTATE means that the connection broke.
pub(crate) fn retry_policy(code: Option<&SqlState>) -> RetryPolicy {
    match code {
        None => Retry,
        Some(code) => find(code.code()).map_or(RetryPolicy::Fail, |rule| rule.policy),
    }
}

/// The policy for a failure with a code of ours. What the server refused its SQLSTATE decides, in [`RULES`].
pub(crate) fn policy_of(code: ErrorCode, sqlstate: Option<&SqlState>) -> RetryPolicy {
    match code {
        ErrorCode::StatementFailed => retry_policy(sqlstate),
        ErrorCode::ConnectionLost
        | ErrorCode::Panic
        | ErrorCode::TableVanished
        | ErrorCode::IndexInvalid
        | ErrorCode::TemplatesOutdated => Retry,
        ErrorCode::AbsenceUnproven => RetryWithoutCounting(Wait::Seconds),
        ErrorCode::DeletionLimit | ErrorCode::UnreportedDeletions | ErrorCode::AgentMoving => {
            RetryPolicy::Pause
        }
        ErrorCode::RelationInTheWay
        | ErrorCode::PrefixKept
        | ErrorCode::InvalidPrefix
        | ErrorCode::WriteIgnored
        | ErrorCode::TablesNotAdopted
        | ErrorCode::TablesRenamed
        | ErrorCode::TablesAttached
        | ErrorCode::TemplatesUnusable
        | ErrorCode::PlanChanged
        | ErrorCode::ReferenceRefused
        | ErrorCode::DirectConnectionNeeded => RetryPolicy::Fail,
    }
}

/// The rule for a SQLSTATE, where it has one.
pub(crate) fn find(sqlstate: &str) -> Option<&'static Rule> {
    let named = |name: Option<&str>| RULES.iter().find(|rule| Some(rule.sqlstate) == name);
    named(Some(sqlstate)).or_else(|| named(sqlstate.get(..2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By name, as the manual lists them: what an operator expects of each, one line a SQLSTATE.
    const EXPECTED: &str = include_str!("retry_policy/expected.txt");

    fn word(policy: RetryPolicy) -> &'static str {
        match policy {
            RetryWithoutCounting(_) => "uncounted",
            Retry => "retry",
            RetryPolicy::Fail => "fail",
            RetryPolicy::Pause => "pause",
        }
    }

    #[test]
    fn every_code_of_the_manual_has_the_policy_that_an_operator_expects() {
        let lines: Vec<&str> = EXPECTED.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(lines.len() > 250, "{}", lines.len());
        for line in lines {
            let (code, expected) = line.split_once(' ').unwrap();
            let policy = retry_policy(Some(&SqlState::from_code(code)));
            assert_eq!(word(policy), expected, "{code}");
        }
        assert_eq!(retry_policy(None), Retry);
    }

    #[test]
    fn the_documentation_shows_the_table_as_it_is() {
        // Read and not embedded: the container's build does not have it.
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/retries.md");
        let documented = std::fs::read_to_string(file).unwrap();
        let (by_sqlstate, _) = documented.split_once("## Failures that no server reports").unwrap();
        let lines = by_sqlstate.lines().filter(|line| line.starts_with("| `"));
        let expected = RULES.map(|Rule { sqlstate, policy, why }| {
            let what = match policy {
                RetryWithoutCounting(Wait::Minutes) => {
                    "retry without counting, after 1 to 4 minutes"
                }
                RetryWithoutCounting(Wait::Seconds) => {
                    "retry without counting, after 2 to 8 seconds"
                }
                RetryWithoutCounting(Wait::Moment) => {
                    "retry without counting, after 0.1 to 1 second"
                }
                Retry => "retry",
                RetryPolicy::Fail | RetryPolicy::Pause => "fail",
            };
            format!("| `{sqlstate}` | {what} | {why} |")
        });
        assert_eq!(lines.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_documentation_tells_what_follows_from_each_code() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/retries.md");
        let documented = std::fs::read_to_string(file).unwrap();
        let (_, codes) = documented.split_once("## Failures that no server reports").unwrap();
        for code in ErrorCode::ALL.into_iter().filter(|code| *code != ErrorCode::StatementFailed) {
            let name = format!("`{}`", code.as_str());
            let rows: Vec<&str> = codes.lines().filter(|line| line.contains(&name)).collect();
            let what = match policy_of(code, None) {
                RetryWithoutCounting(Wait::Seconds) => {
                    "retry without counting, after 2 to 8 seconds"
                }
                RetryWithoutCounting(_) => "another wait",
                Retry => "retry",
                RetryPolicy::Pause => "the job is paused",
                RetryPolicy::Fail => "fail: the job is dead at once",
            };
            assert_eq!(rows.len(), 1, "{name}");
            assert!(rows[0].contains(&format!("| {what} |")), "{name}: {what}");
        }
    }

    #[test]
    fn no_line_of_the_table_is_without_effect() {
        for Rule { sqlstate, policy, why } in RULES {
            let same = RULES.iter().filter(|rule| rule.sqlstate == sqlstate).count();
            assert_eq!(same, 1, "{sqlstate} stands twice");
            let class = RULES.iter().find(|rule| Some(rule.sqlstate) == sqlstate.get(..2));
            let inherited = class.filter(|class| class.sqlstate != sqlstate);
            assert!(inherited.is_none_or(|class| class.policy != policy), "{sqlstate}: {why}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_a_policy(code in "\\PC{0,6}") {
            retry_policy(Some(&SqlState::from_code(&code)));
        }

        #[test]
        fn waits_stay_within_their_bounds(jitter in 0.0..1.0) {
            proptest::prop_assert!(Wait::Moment.draw(jitter) <= Wait::Seconds.draw(0.0));
            proptest::prop_assert!(Wait::Seconds.draw(jitter) <= Wait::Minutes.draw(0.0));
            proptest::prop_assert!((60..=240).contains(&Wait::Minutes.draw(jitter).as_secs()));
        }
    }
}
