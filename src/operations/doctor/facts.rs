//! What the catalog says, and what follows from it.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::finding::{DISK_FULL, Finding, failure, number, ok, warning};
use crate::config::Config;
use crate::postgres::SslMode;
use crate::service::MANY_AGENTS;
use crate::sql_text::pasteable;

/// Lock slots that one job holds at most: a drop with its dependencies.
const SLOTS_PER_JOB: i64 = 200;
/// The oldest server that the tests run on, as `server_version_num` counts.
const OLDEST: i32 = 150_000;

/// What decides which agents go, and what comes back. The worker reads it, and writes it by functions.
const GUARDED: [&str; 10] = [
    "provisioning.jobs",
    "provisioning.attempts",
    "provisioning.agents",
    "provisioning.deleted_agents",
    "provisioning.trash",
    "provisioning.trash_relations",
    "provisioning.purge_holds",
    "provisioning.rollouts",
    "provisioning.rollout_agents",
    "provisioning.accepted_findings",
];
const WRITTEN: [&str; 7] = [
    "provisioning.agent_tables",
    "provisioning.agent_types",
    "provisioning.templates",
    "provisioning.instances",
    "provisioning.verified_agents",
    "provisioning.drifted_agents",
    "provisioning.verify_turn",
];

/// One row of `sql/operations/doctor/facts.sql`.
pub(crate) struct Facts(Row);

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot read the catalog")]
    Query(#[from] tokio_postgres::Error),
    #[error("the catalog query gave no row")]
    Empty,
}

impl Facts {
    pub(crate) async fn read(client: &Client) -> Result<Self, Error> {
        let sql = include_str!("../../../sql/operations/doctor/facts.sql");
        let rows = client
            .query_typed(
                sql,
                &[(&WRITTEN.as_slice(), Type::TEXT_ARRAY), (&GUARDED.as_slice(), Type::TEXT_ARRAY)],
            )
            .await?;
        rows.into_iter().next().map(Self).ok_or(Error::Empty)
    }

    pub(crate) fn check(&self, config: &Config, sslmode: SslMode) -> Vec<Finding> {
        vec![
            self.server(),
            self.encryption(sslmode),
            self.role(),
            self.old_triggers(),
            self.old_functions(),
            self.locks(config),
            self.reference(),
            self.timeouts(config),
            self.disk(),
            self.dead_jobs(),
            self.paused_jobs(),
            self.postgrest(),
            self.notification_queue(),
        ]
    }

    fn count(&self, column: &str) -> i64 {
        self.0.get(column)
    }

    fn names(&self, column: &str) -> Vec<String> {
        self.0.get(column)
    }

    fn server(&self) -> Finding {
        let name: String = self.0.get("server_version_name");
        if self.0.get::<_, i32>("server_version") < OLDEST {
            let found =
                format!("PostgreSQL {name} is older than anything this program is tested on");
            return failure("server", found, "upgrade to PostgreSQL 15 or newer");
        }
        ok("server", format!("PostgreSQL {name}"))
    }

    fn encryption(&self, sslmode: SslMode) -> Finding {
        let (encrypted, local): (bool, bool) = (self.0.get("encrypted"), self.0.get("local"));
        let verified = matches!(sslmode, SslMode::VerifyCa | SslMode::VerifyFull);
        let fix =
            "download the project's root certificate, set sslmode=verify-full and sslrootcert";
        match (encrypted, local, verified) {
            (true, _, true) => ok("encryption", "TLS, and the server is verified".to_owned()),
            (_, true, _) => ok("encryption", "a connection within this machine".to_owned()),
            (true, false, false) => {
                let found = "TLS, but whoever is in between may pose as the server".to_owned();
                warning("encryption", found, fix)
            }
            (false, false, _) => {
                let found = "none: password and data cross the network in plain text".to_owned();
                warning("encryption", found, fix)
            }
        }
    }

    fn role(&self) -> Finding {
        let role: String = self.0.get("role");
        let mut lacks = self.names("unusable");
        if !self.0.get::<_, bool>("may_create") {
            lacks.push("create in schema public".to_owned());
        }
        if !self.0.get::<_, bool>("may_claim") {
            lacks.push("execute on functions of schema provisioning".to_owned());
        }
        if !self.0.get::<_, bool>("may_notify") {
            let functions =
                "notify, show_instance, differing_instances, is_current and end_clock_waits";
            lacks.push(format!("execute on provisioning.{functions}"));
        }
        if !self.0.get::<_, bool>("may_trash") {
            lacks.push(
                "create in schema provisioning_trash, or execute on the functions of the trash"
                    .to_owned(),
            );
        }
        if !self.0.get::<_, bool>("may_use_agents") {
            lacks.push(
                "select on public.agents, or execute on provisioning.refer_to_agents, make_key and add_key"
                    .to_owned(),
            );
        }
        if !lacks.is_empty() {
            let found = format!("{role} lacks rights or policies: {}", lacks.join(", "));
            let fix = "run deploy/roles.sql as postgres and log in as agent_provisioner";
            return failure("role", found, fix);
        }
        let excessive = self.names("excessive");
        if excessive.is_empty() {
            return ok("role", format!("{role} may do what a worker does"));
        }
        let found = format!(
            "the worker's role may write what decides which agents are deleted, or what a restore gives back, or \
             refer to public.agents: {}. Whoever knows its password can delete any agent, or run code as the \
             owner of that table",
            excessive.join("; ")
        );
        warning("role", found, "run deploy/roles.sql as postgres")
    }

    fn old_triggers(&self) -> Finding {
        let old = self.names("old_triggers");
        if old.is_empty() {
            return ok("old triggers", "none builds tables".to_owned());
        }
        let found = format!(
            "{} on public.agents builds tables inside the INSERT, where this \
                             service then finds them in its way",
            old.join(", ")
        );
        let fix: Vec<_> = old
            .iter()
            .map(|t| format!("alter table public.agents disable trigger {};", pasteable(t)))
            .collect();
        failure("old triggers", found, &fix.join(" "))
    }

    fn old_functions(&self) -> Finding {
        let old = self.names("old_functions");
        if old.is_empty() {
            return ok("old functions", "none in schema public builds tables".to_owned());
        }
        let found = format!(
            "{} in schema public may build tables that this service does not know of",
            old.join(", ")
        );
        let fix: Vec<_> = old.iter().map(|f| format!("drop routine {};", pasteable(f))).collect();
        warning("old functions", found, &format!("if nothing else needs it: {}", fix.join(" ")))
    }

    fn locks(&self, config: &Config) -> Finding {
        let slots = self.count("lock_slots");
        let concurrency = i64::try_from(config.worker.concurrency).unwrap_or(i64::MAX);
        let needed = concurrency.saturating_mul(SLOTS_PER_JOB);
        let found = format!(
            "{} up to {needed} of {slots} lock slots",
            number(concurrency, ["job at a time takes", "jobs at a time take"])
        );
        if needed * 8 <= slots {
            return ok("lock slots", found);
        }
        let found = format!("{found}, which all sessions share: more than an eighth");
        warning("lock slots", found, "lower worker.concurrency, or raise max_locks_per_transaction")
    }

    fn reference(&self) -> Finding {
        let keyed = self.count("keyed_agents");
        if keyed < MANY_AGENTS {
            return ok(
                "reference",
                number(keyed, ["agent has a foreign key", "agents have a foreign key"]),
            );
        }
        let found = format!(
            "{keyed} agents with a foreign key: each deletion of an agent checks all \
                             of their tables, and fails for good somewhere beyond 2,000"
        );
        warning("reference", found, "set reference = \"check\" for the agents to come")
    }

    fn timeouts(&self, config: &Config) -> Finding {
        let lock = config.database.lock_timeout;
        let deadlock: f64 = self.0.get("deadlock_timeout_ms");
        if lock.as_secs_f64() * 1000.0 < deadlock {
            return ok("timeouts", format!("the worker gives way after {lock:?}"));
        }
        let found = format!(
            "lock_timeout is {lock:?}, deadlock_timeout {deadlock} ms: an admin may \
                             be the one whose statement fails"
        );
        warning("timeouts", found, "set database.lock_timeout below the server's deadlock_timeout")
    }

    fn disk(&self) -> Finding {
        match self.count("disk_full_jobs") {
            0 => ok("disk", "no job is put off for a full one".to_owned()),
            jobs => {
                let found = format!(
                    "was full at the last attempt: {} put off for it",
                    number(jobs, ["job is", "jobs are"])
                );
                let fix = format!(
                    "{DISK_FULL}; to have them tried now: agent-provisioner jobs replay --state pending --sqlstate 53100 --yes"
                );
                warning("disk", found, &fix)
            }
        }
    }

    fn dead_jobs(&self) -> Finding {
        match self.count("dead_jobs") {
            0 => ok("dead jobs", "none".to_owned()),
            dead => {
                let words = [
                    "waits for a person, and holds up its prefix",
                    "wait for a person, and hold up their prefixes",
                ];
                let found = number(dead, words);
                warning("dead jobs", found, "agent-provisioner jobs list --state dead")
            }
        }
    }

    fn paused_jobs(&self) -> Finding {
        let (paused, unreported) = (self.count("paused_jobs"), self.count("paused_unreported"));
        if paused == 0 {
            return ok("paused deletions", "none".to_owned());
        }
        let mut found =
            number(paused, ["waits for an operator's approval", "wait for an operator's approval"]);
        if unreported > 0 {
            let words = ["agent is gone", "agents are gone"];
            found = format!(
                "{found}; nobody asked for it where only the row is gone: {}",
                number(unreported, words)
            );
        }
        let fix = "agent-provisioner jobs list --state paused, then jobs show ID: it says whether to insert the row again, to \
                   approve the deletion, or to cancel it and keep the tables";
        warning("paused deletions", found, fix)
    }

    fn postgrest(&self) -> Finding {
        let how = if self.0.get("pgrst") { "its event trigger and a" } else { "a" };
        ok("PostgREST", format!("hears of new tables by {how} NOTIFY in the job's transaction"))
    }

    /// The server warns from here on, too.
    fn notification_queue(&self) -> Finding {
        let used: f64 = self.0.get("notification_queue");
        if used < 0.5 {
            return ok("notification queue", "has room".to_owned());
        }
        let found = format!(
            "{:.0} % full, on the whole server: a session that listens has been in a transaction for long. \
             From 90 % on nothing is sent, and workers poll; a full queue makes others' transactions fail",
            used * 100.0
        );
        let fix = "look for the session: select pid, usename, application_name, state, xact_start from \
                    pg_stat_activity where xact_start is not null order by xact_start; \
                    then end it: select pg_terminate_backend(PID);";
        warning("notification queue", found, fix)
    }
}
