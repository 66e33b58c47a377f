//! What a job's error says, piece by piece, and what to do next.

use serde::Serialize;

use super::super::job::KEYS_REMOVED;
use super::request::give_keys_back;
use super::{Entry, State};

/// The pieces of `last_error`, as `error::Chain` put them together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Cause {
    /// Where the template's statement that failed stands: `file:line`.
    pub(crate) place: Option<String>,
    /// Its first line.
    pub(crate) statement: Option<String>,
    pub(crate) detail: Option<String>,
    pub(crate) hint: Option<String>,
}

impl Cause {
    pub(crate) fn of(error: &str) -> Self {
        let owned = |text: &str| text.to_owned();
        let ran = error.strip_prefix("cannot run ").and_then(|rest| rest.split_once('"'));
        let place = ran.map(|(place, _)| owned(place.trim_end())).filter(|place| !place.is_empty());
        let statement = ran
            .and_then(|(_, rest)| rest.split_once("\": "))
            .map(|(statement, _)| owned(statement));
        let (error, hint) = match error.rsplit_once("; hint: ") {
            Some((before, hint)) => (before, Some(owned(hint))),
            None => (error, None),
        };
        let detail = error.split_once("; detail: ").map(|(_, detail)| owned(detail));
        Self { place, statement, detail, hint }
    }
}

/// One or two sentences with the commands to type.
pub(crate) fn next(job: &Entry) -> String {
    let (id, prefix) = (job.id, &job.agent_prefix);
    match (job.state, &job.waits_for) {
        (State::Running, _) => running(job),
        (State::Pending, None) if !job.blocked_by.is_empty() => held_up(job),
        (State::Pending, Some(earlier)) if earlier.state != State::Pending => format!(
            "Job {0} of the same prefix is {1} and comes first: agent-provisioner jobs show {0}",
            earlier.id,
            earlier.state.as_str()
        ),
        (State::Pending, Some(earlier)) => {
            format!("Nothing: it waits for job {} of the same prefix.", earlier.id)
        }
        (State::Pending, None) if job.kind == "upgrade" => format!(
            "Nothing: a worker whose templates go as far as version {} takes it when it is due. If \
             it stays, see whether such an `agent-provisioner run` is up.",
            job.argument.as_deref().unwrap_or("it asks for")
        ),
        (State::Pending, None) => "Nothing: a worker takes it when it is due and nothing else of its \
                                   prefix runs. If it stays, see whether `agent-provisioner run` is up."
            .to_owned(),
        (State::Succeeded, _) => "Nothing.".to_owned(),
        (State::Cancelled, _) if job.kind == "provision" => format!(
            "Nothing: it does not come back. If the agent is to have its tables after all: \
             select * from public.create_agent_tables('{}', {})",
            prefix.replace('\'', "''"),
            job.agent_id
        ),
        (State::Cancelled, _) if job.kind == "deprovision" => cancelled_deletion(job),
        (State::Cancelled, _) => "Nothing: it does not come back.".to_owned(),
        (State::Paused, _) => paused(job),
        (State::Dead, _) => format!(
            "{} Then: agent-provisioner jobs replay {id}. To give it up instead: \
             agent-provisioner jobs cancel {id}",
            mend(job)
        ),
    }
}

fn cancelled_deletion(job: &Entry) -> String {
    let kept = format!(
        "It does not come back by itself. If the agent's row is gone, its tables are kept, and \
         `agent-provisioner jobs replay {}` deletes them after all.",
        job.id
    );
    if job.argument.as_deref() == Some(KEYS_REMOVED) {
        format!("{kept} {}", give_keys_back(&job.agent_prefix))
    } else {
        kept
    }
}

fn paused(job: &Entry) -> String {
    let id = job.id;
    let why = if job.unreported {
        "Nobody asked for this deletion: the agent's row was found to be gone, as after a restore or a \
         load of agents. If the agent is to come back, insert its row with the same id, then cancel."
    } else {
        "More agents are being deleted than deprovision.max_per_hour lets through. See whether all of \
         them are meant: agent-provisioner jobs list --state paused."
    };
    format!(
        "{why} To delete the agent, as the owner of schema provisioning: agent-provisioner jobs approve {id}. \
         To keep its tables: agent-provisioner jobs cancel {id}"
    )
}

/// Never ends our own session: that one gives way by itself.
fn running(job: &Entry) -> String {
    let Some(running) = &job.running else { return "Nothing.".to_owned() };
    if !job.blocked_by.is_empty() {
        return held_up(job);
    }
    if running.blocked_by_pids.is_empty() {
        return "Nothing: it is being worked on.".to_owned();
    }
    let pids: Vec<String> = running.blocked_by_pids.iter().map(ToString::to_string).collect();
    format!(
        "It waits for a lock that backend {} holds, and gives way and comes back by itself.",
        pids.join(", ")
    )
}

fn held_up(job: &Entry) -> String {
    let Some(holder) = job.blocked_by.first() else { return "Nothing.".to_owned() };
    format!(
        "It is held up by {holder}. It is done by itself when that transaction is over. To end the \
         transaction now, if nobody needs it: {}",
        holder.way_out
    )
}

/// What has to change before a dead job can succeed. Source: PostgreSQL manual, appendix A.
fn mend(job: &Entry) -> String {
    let error = job.error.as_deref().unwrap_or_default();
    let code = job.sqlstate.as_deref().unwrap_or_default();
    match (code, code.get(..2).unwrap_or_default()) {
        ("42P07", _) => in_the_way(job, error),
        ("2BP01", _) => "Somebody's view or foreign key hangs on the agent's tables: the detail \
                         names it. Drop it."
            .to_owned(),
        ("42501", _) => "The worker's role may not do this: run deploy/roles.sql again as the \
                         owner of the schema, or grant what the error names."
            .to_owned(),
        ("23514", _) if error.starts_with("agent prefix") => {
            "No table can bear this prefix: delete the agent and create it with a valid one."
                .to_owned()
        }
        ("42P01" | "42703" | "42704", _) if job.kind == "upgrade" => format!(
            "A template file needs what the agent lacks; agent-provisioner agents verify {0} says what \
             went missing. To bring that back: agent-provisioner jobs cancel {1}, agents repair {0} --wait, \
             agents upgrade {0}. If the file is wrong: mend it and restart the service.",
            job.agent_prefix, job.id
        ),
        ("", _) if error.contains("database.listen_url") => {
            "Set database.listen_url to a direct or session-mode connection, and restart the \
             service."
                .to_owned()
        }
        ("53200", _) => "The server ran out of shared memory, most likely of lock slots: raise \
                         max_locks_per_transaction or lower worker.concurrency."
            .to_owned(),
        ("53100", _) => "The server's disk was full: make room.".to_owned(),
        (_, "08" | "40" | "53" | "57" | "58") | ("25006", _) => format!(
            "The server could not do it {} times in a row: see the server's log.",
            job.attempts
        ),
        ("", _) if error.starts_with("the agent is at template version") => {
            "The worker's template files are older than the agent: give every worker all that the \
             agent was built from, and restart it."
                .to_owned()
        }
        ("", _) if error.contains("replay this job") => "Do what the error says.".to_owned(),
        ("", _) => "No server gave this error: see the service's log around the time it \
                    finished."
            .to_owned(),
        (_, "42" | "22" | "23" | "0A" | "2F" | "P0") => {
            "The server refuses a statement, and will again: mend the template or what the error \
             names, and restart the service if a template changed."
                .to_owned()
        }
        _ => "Mend what the error names.".to_owned(),
    }
}

fn in_the_way(job: &Entry, error: &str) -> String {
    let Some((names, _)) = error.split_once(" already exists and is not managed") else {
        return "Something bears a name that the template gives: rename or drop it.".to_owned();
    };
    // An error is text that the worker's role has written.
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let rename = |name: &str| {
        let bare = name.strip_prefix("public.").filter(|bare| bare.chars().all(plain))?;
        Some(format!("alter table public.{bare} rename to {bare}_old;"))
    };
    let Some(renames) = names.split(", ").map(rename).collect::<Option<Vec<_>>>() else {
        return "Something bears a name that the template gives: rename or drop it.".to_owned();
    };
    // A repair's agent is registered, so it cannot be adopted.
    let adopt = if job.kind == "provision" {
        let prefix = &job.agent_prefix;
        format!(
            "If an older trigger built it for this agent, `agent-provisioner agents adopt {prefix}` takes it over, \
             which ends this job too. "
        )
    } else {
        String::new()
    };
    format!(
        "{names} is in the way and was not made by this program, which leaves it alone. {adopt}If \
         it is not needed under this name, rename it: {}",
        renames.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead(sqlstate: Option<&str>, error: &str) -> Entry {
        Entry {
            id: 17,
            kind: "provision".to_owned(),
            state: State::Dead,
            agent_id: 5,
            agent_prefix: "agt_6f78".to_owned(),
            user_id: None,
            argument: None,
            unreported: false,
            deletion_confirmed: false,
            priority: 0,
            attempts: 10,
            created_at: None,
            run_at: None,
            finished_at: None,
            duration_ms: None,
            outcome: None,
            error: Some(error.to_owned()),
            sqlstate: sqlstate.map(str::to_owned),
            replayed_by: None,
            replayed_at: None,
            replay_reason: None,
            running: None,
            give_ways: 0,
            lock_wanted: None,
            blocked_by: Vec::new(),
            waits_for: None,
        }
    }

    #[test]
    fn every_cause_of_death_has_its_mend() {
        let taken = "public.agt_6f78_orders already exists and is not managed by agent-provisioner";
        let outdated = crate::agent::Error::Outdated { version: 3, known: 2 }.to_string();
        let unmanaged = crate::agent::Error::Swallowed("public.agents").to_string();
        let cases = [
            (
                Some("42P07"),
                taken,
                "alter table public.agt_6f78_orders rename to agt_6f78_orders_old;",
            ),
            (Some("42P07"), "relation \"x\" already exists", "rename or drop it"),
            (Some("2BP01"), "", "the detail names it"),
            (Some("42501"), "", "deploy/roles.sql"),
            (Some("23514"), "agent prefix \"A\" is not valid", "valid one"),
            (Some("23514"), "new row violates", "mend the template"),
            (Some("53200"), "", "max_locks_per_transaction"),
            (Some("57P01"), "", "10 times in a row"),
            (Some("25006"), "", "10 times in a row"),
            (Some("42601"), "", "mend the template"),
            (Some("XX000"), "", "Mend what the error names"),
            (None, outdated.as_str(), "give every worker all"),
            (None, unmanaged.as_str(), "Do what the error says"),
            (None, "", "the service's log"),
        ];
        for (sqlstate, error, mend) in cases {
            let advice = next(&dead(sqlstate, error));
            assert!(advice.contains(mend), "{sqlstate:?}: {advice}");
            assert!(advice.contains("jobs replay 17"), "{advice}");
        }
        let mut job = dead(Some("42P07"), taken);
        assert!(next(&job).contains("agents adopt agt_6f78"));
        job.kind = "repair".to_owned();
        assert!(!next(&job).contains("agents adopt"));
        job.state = State::Paused;
        for (unreported, why) in [(true, "Nobody asked"), (false, "deprovision.max_per_hour")] {
            job.unreported = unreported;
            for text in [why, "jobs approve 17", "jobs cancel 17"] {
                assert!(next(&job).contains(text), "{}", next(&job));
            }
        }
    }

    #[test]
    fn an_error_comes_apart_where_it_was_put_together() {
        let some = |text: &str| Some(text.to_owned());
        let error = "cannot run 0001_x.sql:7 \"create view \"v\" as\": no (SQLSTATE 42P01); \
                     detail: a; b; hint: c: d";
        let cause = Cause {
            place: some("0001_x.sql:7"),
            statement: some("create view \"v\" as"),
            detail: some("a; b"),
            hint: some("c: d"),
        };
        assert_eq!(Cause::of(error), cause);
        let none = Cause { place: None, statement: None, detail: None, hint: None };
        assert_eq!(Cause::of("the connection broke: eof"), none);
    }
}
