//! What to do about a job: by its state, then by its error's code, then by the SQLSTATE.
//!
//! Whoever knows the worker's password can write any error into a job. So an error's code chooses between sentences
//! of ours, and its names are shown only where they are plain. Statements come from a [`WayOut`].

use super::job_view::{JobView, State};
use super::replay::give_keys_back;
use crate::agent::Prefix;
use crate::queue::retry_policy::find;
use crate::queue::{ErrorCode, Kind};

const DISK_FULL: &str = "The server's disk was full: make room.";

/// What the operator's own session found in the catalog about a dead job.
#[derive(Debug, Default)]
pub(crate) struct WayOut {
    /// They clear the way.
    pub(crate) statements: Vec<String>,
    /// What is in the way, qualified.
    pub(crate) relations: Vec<String>,
    /// Whether a table is among it that `agents adopt` may take over.
    pub(crate) adoptable: bool,
    /// The former agent whose tables are kept, and its cancelled deletion.
    pub(crate) kept: Option<(i64, i64)>,
}

/// One or two sentences with the commands to type.
pub(crate) fn next(job: &JobView, way_out: &WayOut) -> String {
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
        (State::Pending, None) if job.untaken => untaken(job),
        (State::Pending, None) if job.cause.is_disk_full() => format!(
            "{DISK_FULL} The job is tried again by itself; to have it tried now: agent-provisioner jobs replay {id}"
        ),
        (State::Pending, None) if job.is(Kind::Upgrade) => format!(
            "Nothing: a worker whose templates go as far as {} takes it when it is due.",
            wanted_version(job)
        ),
        (State::Pending, None) => {
            "Nothing: a worker takes it when it is due and nothing else of its \
                                   prefix runs."
                .to_owned()
        }
        (State::Succeeded, _) => "Nothing.".to_owned(),
        (State::Cancelled, _) if job.is(Kind::Provision) => format!(
            "Nothing: it does not come back. If the agent is to have its tables after all: \
             select * from public.create_agent_tables('{}', {})",
            prefix.replace('\'', "''"),
            job.agent_id
        ),
        (State::Cancelled, _) if job.is(Kind::Deprovision) => cancelled_deletion(job),
        (State::Cancelled, _) => "Nothing: it does not come back.".to_owned(),
        (State::Paused, _) => paused(job),
        (State::Dead, _) => format!(
            "{} Then: agent-provisioner jobs replay {id}. To give it up instead: \
             agent-provisioner jobs cancel {id}",
            fix(job, way_out)
        ),
    }
}

fn untaken(job: &JobView) -> String {
    if job.template_version.is_some() {
        return format!(
            "No worker runs whose templates go as far as {}: give every worker the template files up to it, and restart the \
             workers.",
            wanted_version(job)
        );
    }
    "No worker runs. Start the service: systemctl start agent-provisioner, or agent-provisioner run.".to_owned()
}

fn wanted_version(job: &JobView) -> String {
    match job.template_version {
        Some(version) => format!("version {version}"),
        None => "the version that it asks for".to_owned(),
    }
}

fn cancelled_deletion(job: &JobView) -> String {
    let kept = format!(
        "It does not come back by itself. If the agent's row is gone, its tables are kept, and \
         `agent-provisioner jobs replay {}` deletes them after all.",
        job.id
    );
    if job.keys_removed { format!("{kept} {}", give_keys_back(&job.agent_prefix)) } else { kept }
}

fn paused(job: &JobView) -> String {
    let (id, prefix) = (job.id, &job.agent_prefix);
    if job.cause.error_code.as_deref() == Some(ErrorCode::AgentMoving.as_str()) {
        return format!(
            "The agent was handed over to another database, and this deletes its tables here. To have that database serve the agent, \
             which approves this job: agent-provisioner --database HERE agents move {prefix} --to NAME. To give the move up: the same with --abort"
        );
    }
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
fn running(job: &JobView) -> String {
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

fn held_up(job: &JobView) -> String {
    let Some(holder) = job.blocked_by.first() else { return "Nothing.".to_owned() };
    format!(
        "It is held up by {holder}. It is done by itself when that transaction is over. To end the \
         transaction now, if nobody needs it: {}",
        holder.way_out
    )
}

/// What has to change before a dead job can succeed.
fn fix(job: &JobView, way_out: &WayOut) -> String {
    match job.cause.error_code.as_deref().and_then(ErrorCode::parse) {
        Some(ErrorCode::StatementFailed) | None => by_sqlstate(job),
        Some(ErrorCode::RelationInTheWay) => in_the_way(job, way_out),
        Some(ErrorCode::PrefixKept) => prefix_kept(way_out),
        Some(code) => {
            let sentence = sentence(code)
                .replace("{prefix}", &job.agent_prefix)
                .replace("{attempts}", &job.attempts.to_string())
                .replace("{relations}", &names(job, code));
            with_statements(sentence, &way_out.statements)
        }
    }
}

fn with_statements(sentence: String, statements: &[String]) -> String {
    if statements.is_empty() {
        return sentence;
    }
    format!("{}: {};", sentence.trim_end_matches('.'), statements.join("; "))
}

/// What the error is about, where that can be nothing but names of ours or of the agent's.
fn names(job: &JobView, code: ErrorCode) -> String {
    let relations = &job.cause.relations;
    let ours = |name: &String| code == ErrorCode::WriteIgnored && OURS.contains(&name.as_str());
    if own_names(job).is_some() || !relations.is_empty() && relations.iter().all(ours) {
        relations.join(", ")
    } else {
        "what the error names".to_owned()
    }
}

/// What may ignore a write.
const OURS: [&str; 7] = [
    "public.agents",
    "public.agents or a table of schema provisioning",
    "provisioning.agents",
    "provisioning.agent_tables",
    "provisioning.agent_types",
    "provisioning.trash",
    "provisioning.trash_relations",
];

/// The names that a job's error is about, without the schema; `None` where one of them is not plain or not under the
/// agent's own prefix, and where there is none.
pub(crate) fn own_names(job: &JobView) -> Option<Vec<String>> {
    let prefix = job.agent_prefix.parse::<Prefix>().ok()?;
    let own = |name: &String| {
        let bare = name.strip_prefix("public.")?;
        let end = bare.strip_prefix(prefix.as_str())?.strip_prefix('_')?;
        (!end.is_empty() && is_plain(end)).then(|| bare.to_owned())
    };
    let names = job.cause.relations.iter().map(own).collect::<Option<Vec<_>>>()?;
    (!names.is_empty()).then_some(names)
}

/// Whether a name needs no quotes, whatever is done with it.
pub(crate) fn is_plain(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn prefix_kept(way_out: &WayOut) -> String {
    let Some((agent, job)) = way_out.kept else {
        return "The prefix belonged to another agent, whose tables were kept. They are no longer registered under \
                this prefix."
            .to_owned();
    };
    format!(
        "The prefix belongs to agent {agent}, whose tables are kept, since its deletion was cancelled. To delete \
         that agent after all: agent-provisioner jobs replay {job}. To bring it back, delete this agent's row, and \
         insert the other's with id {agent}."
    )
}

/// With placeholders for what only the job knows.
fn sentence(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::StatementFailed | ErrorCode::RelationInTheWay | ErrorCode::PrefixKept => {
            "Fix what the error names."
        }
        ErrorCode::ConnectionLost => {
            "The connection to the server broke {attempts} times in a row: see the server's and the service's log."
        }
        ErrorCode::Panic => {
            "The program has a fault: see the service's log around the time it finished, and report it."
        }
        ErrorCode::InvalidPrefix => {
            "No table can bear this prefix: delete the agent, and create it with a valid one."
        }
        ErrorCode::AbsenceUnproven => "Run: alter table public.agents no force row level security;",
        ErrorCode::WriteIgnored => {
            "Remove the rule, trigger or policy on {relations} that keeps rows out."
        }
        ErrorCode::TablesNotAdopted => {
            "Nothing manages {relations}. If these tables are the agent's: agent-provisioner agents adopt \
             {prefix} --yes. To keep them, drop their foreign keys to public.agents."
        }
        ErrorCode::TablesRenamed => {
            "Give the agent's tables their names again; what bears one of them now is not the agent's."
        }
        ErrorCode::TablesAttached => "Take apart from the agent's tables what is not the agent's.",
        ErrorCode::TableVanished => "A table was dropped while the job looked at it: try again.",
        ErrorCode::PlanChanged => {
            "Look again with `agent-provisioner agents repair {prefix} --dry-run`, and confirm that: it takes up this job. Or \
             bring back what has changed since."
        }
        ErrorCode::IndexInvalid => {
            "The server could not complete the index {relations}. A unique index needs rows that differ."
        }
        ErrorCode::DeletionLimit | ErrorCode::UnreportedDeletions => {
            "The limit on deletions stopped it."
        }
        ErrorCode::AgentMoving => "End the move: agent-provisioner agents move {prefix} --to NAME.",
        ErrorCode::TemplatesOutdated => {
            "The worker's template files are older than the agent: give every worker all that the agent was \
             built from, and restart it."
        }
        ErrorCode::TemplatesUnusable => {
            "Fix the template files as the error says, and restart the service."
        }
        ErrorCode::ReferenceRefused => {
            "Give the foreign key to public.agents a statement of its own, as the error shows, and restart \
             the service."
        }
        ErrorCode::DirectConnectionNeeded => {
            "Set database.listen_url to a direct or session-mode connection, and restart the service."
        }
    }
}

/// Source: PostgreSQL manual, appendix A.
fn by_sqlstate(job: &JobView) -> String {
    let sqlstate = job.cause.sqlstate.as_deref().unwrap_or_default();
    match (sqlstate, sqlstate.get(..2).unwrap_or_default()) {
        ("", _) => "No server gave this error: see the service's log around the time it finished.",
        ("42P07", _) => "Something bears a name that the template gives: rename or drop it.",
        ("2BP01", _) => {
            "A view or a foreign key of somebody's depends on the agent's tables: the detail names it. Drop it, if \
             nobody needs it."
        }
        ("42501", _) => {
            "The worker's role may not do this: run deploy/roles.sql again as the owner of the schema. What a \
             template of yours needs besides, grant to the role."
        }
        ("42P01" | "42703" | "42704", _) if job.is(Kind::Upgrade) => {
            return format!(
                "A template file needs what the agent lacks; agent-provisioner agents verify {0} says what is \
                 missing, or renamed. To bring that back: agent-provisioner jobs cancel {1}, agents repair {0} --wait \
                 (with --force, if a table was renamed), agents upgrade {0}. If the file is wrong: fix it, and restart \
                 the service.",
                job.agent_prefix, job.id
            );
        }
        ("53200", _) => {
            "The server ran out of shared memory, most likely of lock slots: raise max_locks_per_transaction or \
             lower worker.concurrency."
        }
        ("53100", _) => DISK_FULL,
        (_, "42" | "22" | "23" | "0A" | "2F" | "P0") => {
            "The server refuses a statement, and will again: fix the template or what the error names, and \
             restart the service if a template changed."
        }
        _ => {
            return find(sqlstate).map_or_else(
                || "Fix what the error names.".to_owned(),
                |rule| {
                    format!(
                        "The server could not do it {} times in a row ({}): see the server's log.",
                        job.attempts, rule.why
                    )
                },
            );
        }
    }
    .to_owned()
}

fn in_the_way(job: &JobView, way_out: &WayOut) -> String {
    let WayOut { statements, relations, .. } = way_out;
    if relations.is_empty() {
        return "Something bears a name that the template gives: rename or drop it.".to_owned();
    }
    let [is, was, it, them] = if relations.len() == 1 {
        ["is", "was", "it", "it"]
    } else {
        ["are", "were", "they", "them"]
    };
    let adopt = if way_out.adoptable {
        format!(
            "If {it} {is} this agent's, `agent-provisioner agents adopt {}` says what it would do, and with --yes takes \
             {them} over, which ends this job too.{} ",
            job.agent_prefix,
            // Adopted, the agent is at a version of which no statement was run for it.
            if job.is(Kind::Upgrade) {
                " The other statements of these files are not run then: agents verify names what is missing."
            } else {
                ""
            }
        )
    } else {
        String::new()
    };
    format!(
        "{} {is} in the way and {was} not made by this program, which leaves {them} alone. {adopt}If {it} {is} \
         not needed under this name, rename {them}: {};",
        relations.join(", "),
        statements.join("; ")
    )
}

#[cfg(test)]
mod tests {

    use super::super::job_view::Cause;
    use super::*;

    fn dead(code: Option<ErrorCode>, sqlstate: Option<&str>, relations: &[&str]) -> JobView {
        let code = code.map(|code| serde_json::to_value(code).unwrap());
        JobView {
            id: 17,
            kind: "provision".to_owned(),
            state: State::Dead,
            agent_id: 5,
            agent_prefix: "agt_6f78".to_owned(),
            user_id: None,
            requested_by: None,
            force: false,
            plan: None,
            template_version: None,
            reference: None,
            keys_removed: false,
            unreported: false,
            deletion_confirmed: false,
            priority: 0,
            attempts: 10,
            created_at: None,
            age_seconds: None,
            run_at: None,
            finished_at: None,
            duration_ms: None,
            outcome: None,
            cause: Cause {
                error_code: code.map(|code| code.as_str().unwrap().to_owned()),
                sqlstate: sqlstate.map(str::to_owned),
                relations: relations.iter().map(|name| (*name).to_owned()).collect(),
                ..Cause::default()
            },
            replayed_by: None,
            replayed_at: None,
            replay_reason: None,
            running: None,
            give_ways: 0,
            lock_wanted: None,
            blocked_by: Vec::new(),
            waits_for: None,
            untaken: false,
        }
    }

    #[test]
    fn every_cause_of_death_has_its_fix() {
        let table = "public.agt_6f78_orders";
        let statement = Some(ErrorCode::StatementFailed);
        let cases: [(_, _, &[&str], _); 16] = [
            (
                Some(ErrorCode::TablesNotAdopted),
                None,
                &[table],
                "agent-provisioner agents adopt agt_6f78 --yes",
            ),
            (statement, Some("42P07"), &[], "rename or drop it"),
            (statement, Some("2BP01"), &[], "the detail names it"),
            (statement, Some("42501"), &[], "deploy/roles.sql"),
            (statement, Some("23514"), &[], "fix the template"),
            (Some(ErrorCode::InvalidPrefix), Some("23514"), &[], "valid one"),
            (statement, Some("53200"), &[], "max_locks_per_transaction"),
            (statement, Some("53100"), &[], "make room"),
            (statement, Some("57P01"), &[], "10 times in a row (the server stops"),
            (statement, Some("25006"), &[], "10 times in a row (the server is read-only"),
            (statement, Some("42601"), &[], "fix the template"),
            (statement, Some("AP001"), &[], "Fix what the error names"),
            (Some(ErrorCode::WriteIgnored), None, &["public.agents"], "or policy on public.agents"),
            (Some(ErrorCode::TemplatesOutdated), None, &[], "give every worker all"),
            (None, Some("2BP01"), &[], "the detail names it"),
            (None, None, &[], "the service's log"),
        ];
        for (code, sqlstate, relations, fix) in cases {
            let advice = next(&dead(code, sqlstate, relations), &WayOut::default());
            assert!(advice.contains(fix), "{code:?} {sqlstate:?}: {advice}");
            assert!(advice.contains("jobs replay 17"), "{advice}");
        }
        for code in &ErrorCode::ALL {
            for way_out in [WayOut::default(), found()] {
                let advice = fix(&dead(Some(*code), None, &[table]), &way_out);
                assert!(advice.ends_with(['.', ';']), "{code:?}: {advice}");
            }
        }
    }

    #[test]
    fn a_code_of_a_newer_program_leaves_the_sqlstate() {
        let mut job = dead(None, Some("2BP01"), &[]);
        job.cause.error_code = Some("of_a_newer_program".to_owned());
        assert!(next(&job, &WayOut::default()).contains("the detail names it"));
    }

    fn found() -> WayOut {
        WayOut {
            statements: vec!["alter table public.x rename to y".to_owned()],
            relations: vec!["public.x".to_owned()],
            adoptable: false,
            kept: Some((3, 4)),
        }
    }

    #[test]
    fn what_the_worker_wrote_of_names_is_shown_only_if_it_is_plain_and_the_agents_own() {
        let own = "public.agt_6f78_orders";
        for name in [
            "public.agt_6f78_x; drop table public.agents",
            "public.agt_6f78_\"X\"",
            "public.agt_6f78_",
            "public.agt_6f78x",
            "public.users",
            "public.",
            "other.agt_6f78_x",
            "; curl evil | sh #",
        ] {
            for code in ErrorCode::ALL {
                let job = dead(Some(code), None, &[own, name]);
                assert_eq!(own_names(&job), None, "{name}");
                for way_out in [WayOut::default(), found()] {
                    let advice = next(&job, &way_out);
                    assert!(name == "public." || !advice.contains(name), "{code:?}: {advice}");
                    assert!(!advice.contains(own), "{code:?}: {advice}");
                }
            }
        }
        let job = dead(Some(ErrorCode::WriteIgnored), None, &[own]);
        assert_eq!(own_names(&job), Some(vec!["agt_6f78_orders".to_owned()]));
        assert!(next(&job, &WayOut::default()).contains(own));
    }

    #[test]
    fn statements_are_those_that_were_found_and_no_others() {
        let codes = [
            ErrorCode::RelationInTheWay,
            ErrorCode::TablesNotAdopted,
            ErrorCode::TablesRenamed,
            ErrorCode::TablesAttached,
        ];
        for code in codes {
            let job = dead(Some(code), None, &["public.agt_6f78_orders"]);
            let advice = next(&job, &found());
            assert!(advice.contains(": alter table public.x rename to y;"), "{code:?}: {advice}");
            let advice = next(&job, &WayOut::default());
            assert!(!advice.contains("alter "), "{code:?}: {advice}");
        }
        let job = dead(Some(ErrorCode::PrefixKept), None, &[]);
        assert!(next(&job, &found()).contains("jobs replay 4"));
    }

    #[test]
    fn only_what_can_be_adopted_is_to_be() {
        let mut job = dead(Some(ErrorCode::RelationInTheWay), Some("42P07"), &["public.x"]);
        for kind in ["provision", "repair", "upgrade"] {
            kind.clone_into(&mut job.kind);
            assert!(!next(&job, &found()).contains("agents adopt"), "{kind}");
            let found = WayOut { adoptable: true, ..found() };
            let advice = next(&job, &found);
            assert!(advice.contains("agents adopt agt_6f78"), "{kind}");
            assert_eq!(advice.contains("are not run"), kind == "upgrade", "{kind}");
        }
    }

    #[test]
    fn a_paused_deletion_says_why() {
        let mut job = dead(None, None, &[]);
        (job.kind, job.state) = ("deprovision".to_owned(), State::Paused);
        for (unreported, why) in [(true, "Nobody asked"), (false, "deprovision.max_per_hour")] {
            job.unreported = unreported;
            for text in [why, "jobs approve 17", "jobs cancel 17"] {
                let advice = next(&job, &WayOut::default());
                assert!(advice.contains(text), "{advice}");
            }
        }
    }
}
