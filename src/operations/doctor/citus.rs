//! Whether what Citus needs is there, where it is installed and the templates spread agents over its workers.

use tokio_postgres::{Client, Row};

use super::finding::{Finding, failure, ok, warning};
use crate::agent::Reference;
use crate::config::Config;
use crate::telemetry::ErrorReport;
use crate::templates::Templates;

const WHAT: &str = "citus";
/// How a template spreads a table.
const SPREADS: &str = "create_distributed_table";

/// One finding, or one for each thing that is missing.
pub(super) async fn check(client: &Client, config: &Config) -> Vec<Finding> {
    let sql = include_str!("../../../sql/operations/doctor/citus.sql");
    let rows = match client.query_typed(sql, &[]).await {
        Ok(rows) => rows,
        Err(error) => {
            return vec![failure(WHAT, ErrorReport(&error).to_string(), "see the server's log")];
        }
    };
    let Some(row) = rows.first() else {
        return vec![ok(WHAT, "is not installed".to_owned())];
    };
    // That they cannot be loaded is told already.
    let templates = Templates::from(config.templates.as_deref(), &config.realtime);
    let spreads =
        templates.is_ok_and(|set| set.files().iter().any(|file| file.text().contains(SPREADS)));
    let version: &str = row.get("version");
    if !spreads {
        let found =
            format!("{version} is installed; the templates leave agents' tables on this server");
        return vec![ok(WHAT, found)];
    }
    let findings = lacking(row, config);
    if findings.is_empty() {
        vec![ok(WHAT, format!("{version}; the templates spread agents' tables over its workers"))]
    } else {
        findings
    }
}

fn lacking(row: &Row, config: &Config) -> Vec<Finding> {
    const SETUP: &str = "run deploy/citus/setup.sql as a superuser, and start the service again";
    let no_login: Vec<&str> = row.get("no_login");
    let mut findings = Vec::new();
    if config.reference == Reference::ForeignKey {
        let found =
            "a table on a worker cannot have a foreign key to public.agents: no agent is built";
        findings
            .push(failure(WHAT, found.to_owned(), "set reference = \"check\"").about("reference"));
    }
    if !config.realtime.is_empty() {
        let found = "Realtime is told nothing of tables on workers";
        findings.push(
            warning(WHAT, found.to_owned(), "take `realtime` out of the settings")
                .about("realtime"),
        );
    }
    if !no_login.is_empty() {
        let found =
            format!("{} cannot log in on the workers, and so read nothing", no_login.join(", "));
        findings.push(failure(WHAT, found, SETUP).about("roles"));
    }
    if !row.get::<_, bool>("triggers") {
        let found =
            "agent_provisioner may not make triggers on tables on workers: a repair of one fails";
        findings.push(warning(WHAT, found.to_owned(), SETUP).about("triggers"));
    }
    findings
}
