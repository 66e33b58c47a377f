//! Whether somebody takes the jobs, and whether the connections suffice for that.

use tokio_postgres::{Client, Row};

use super::finding::{Finding, failure, number, ok, warning};
use crate::config::{Config, Console};
use crate::telemetry::ErrorReport;

const WHAT: &str = "workers";

pub(crate) async fn check(client: &Client, config: &Config) -> Vec<Finding> {
    let sql = include_str!("../../../sql/operations/doctor/workers.sql");
    match client.query_typed(sql, &[]).await {
        Ok(rows) => {
            let both = |row| [of_row(row), vec![connections(row, config)]].concat();
            rows.first().map(both).unwrap_or_default()
        }
        Err(error) => {
            let fix = "run deploy/roles.sql as postgres and log in as agent_provisioner";
            vec![failure(WHAT, ErrorReport(&error).to_string(), fix)]
        }
    }
}

fn of_row(row: &Row) -> Vec<Finding> {
    let (running, overdue): (i64, i64) = (row.get("running"), row.get("overdue"));
    let lost: Vec<String> = row.get("lost");
    let mut findings = Vec::new();
    if !lost.is_empty() {
        let found = format!("ended without a word, or stands still: {}", lost.join("; "));
        let fix = "on that host: systemctl status agent-provisioner, then systemctl restart agent-provisioner";
        findings.push(warning(WHAT, found, fix));
    }
    if overdue == 0 {
        if lost.is_empty() {
            let run = number(running, ["runs", "run"]);
            findings.push(ok(WHAT, format!("{run}, and no job is overdue")));
        }
        return findings;
    }
    let newer: i64 = row.get("newer");
    if newer > 0 {
        let version: i32 = row.get("version");
        let jobs = number(newer, ["upgrade is due, and wants", "upgrades are due, and want"]);
        let found = format!("{jobs} templates of version {version}: no worker that runs has them");
        findings.push(warning(WHAT, found, &give_templates(version)));
        if newer == overdue {
            return findings;
        }
    }
    let minutes: i64 = row.get("minutes");
    let jobs = number(overdue, ["job is", "jobs are"]);
    let found = format!("{jobs} due, the oldest for {minutes} min, and ");
    findings.push(if running == 0 {
        let fix = "start the service: systemctl start agent-provisioner, or agent-provisioner run";
        failure(WHAT, found + "no worker runs", fix)
    } else {
        let fix = "agent-provisioner jobs list --state pending; then raise worker.concurrency or start \
                   another instance, if they are simply many";
        let run = number(running, ["instance runs", "instances run"]);
        warning(WHAT, found + &run, fix)
    });
    findings
}

/// Where templates are older than agents.
pub(super) fn give_templates(version: i32) -> String {
    format!(
        "give every worker, and this command, the template files up to version {version}, and restart the workers"
    )
}

/// What all instances take, if they are configured as this command is.
fn connections(row: &Row, config: &Config) -> Finding {
    const WHAT: &str = "connections";
    let (there, limit): (i32, i32) = (row.get("connections"), row.get("connection_limit"));
    let instances = usize::try_from(row.get::<_, i64>("running")).unwrap_or_default().max(1);
    let with_console = |connections| if config.console.listen.is_some() { connections } else { 0 };
    let of_role = config.database.pool_size + 1 + with_console(Console::SERVICE_CONNECTIONS);
    let of_all = of_role + with_console(Console::CONNECTIONS);
    let number = |each: usize| i32::try_from(each * instances).unwrap_or(i32::MAX);
    let (of_role, taken) = (number(of_role), number(of_all));
    let services = if instances == 1 { "1 service takes" } else { "the services take" };
    let found = format!("{services} up to {taken} of {there} connections");
    if limit >= 0 && of_role > limit {
        let found = format!("{found}; {of_role} of them are the worker's, which may have {limit}");
        let fix = "raise the role's limit: alter role agent_provisioner connection limit …; or lower \
                   worker.concurrency and database.pool_size";
        return warning(WHAT, found, fix);
    }
    if taken.saturating_mul(2) <= there {
        return ok(WHAT, found);
    }
    warning(WHAT, found, "lower worker.concurrency and database.pool_size")
}
