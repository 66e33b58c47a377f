//! Whether the instances that run are configured alike.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::finding::{Finding, ok, warning};
use crate::config::Config;
use crate::service::settings;
use crate::telemetry::ErrorReport;
use crate::templates::Templates;

const WHAT: &str = "instances";

/// One finding for each setting in which they differ. That this command has another configuration than all of
/// them is no fault of theirs, and is only said.
pub(crate) async fn check(client: &Client, config: &Config) -> Vec<Finding> {
    // Templates that cannot be used are another finding.
    let templates = Templates::from(config.templates.as_deref(), &config.realtime).ok();
    let settings = serde_json::json!(settings(config, templates.as_ref())).to_string();
    let sql = include_str!("../../../sql/operations/doctor/instances.sql");
    let rows = match client.query_typed(sql, &[(&settings, Type::TEXT)]).await {
        Ok(rows) => rows,
        Err(error) => {
            let fix = "run deploy/roles.sql as postgres and log in as agent_provisioner";
            return vec![warning(WHAT, ErrorReport(&error).to_string(), fix)];
        }
    };
    let Some(row) = rows.first() else { return Vec::new() };
    let differ: Vec<String> = row.get("differ");
    if !differ.is_empty() {
        let fix = "give all instances the same configuration and restart them";
        let finding = |differs| {
            let found =
                format!("{differs}: which instance takes a job decides what becomes of the agent");
            warning(WHAT, found, fix)
        };
        return differ.into_iter().map(finding).collect();
    }
    let running: i64 = row.get("running");
    let here: Vec<String> = row.get("differ_here");
    let run = match running {
        0 => return vec![ok(WHAT, "none runs".to_owned())],
        1 => "1 runs".to_owned(),
        running => format!("{running} run, configured alike"),
    };
    let found = if here.is_empty() {
        format!("{run}, configured as this command")
    } else {
        format!("{run}; this command has other {}", here.join(", "))
    };
    vec![ok(WHAT, found)]
}
