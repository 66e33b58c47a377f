//! Whether those who have to change agents' tables may.

use tokio_postgres::{Client, Row};

use super::finding::{Finding, failure, ok, warning};
use crate::telemetry::ErrorReport;

const TABLES: &str = "tables";
const MEMBERSHIP: &str = "membership";

pub(crate) async fn check(client: &Client) -> Vec<Finding> {
    let sql = include_str!("../../../sql/operations/doctor/ownership.sql");
    match client.query_typed(sql, &[]).await {
        Ok(rows) => rows.first().map(of_row).unwrap_or_default(),
        Err(error) => {
            let fix = "run deploy/roles.sql as postgres and log in as agent_provisioner";
            vec![failure(TABLES, ErrorReport(&error).to_string(), fix)]
        }
    }
}

fn of_row(row: &Row) -> Vec<Finding> {
    let worker: String = row.get("worker");
    let others: Vec<String> = row.get("others");
    let tables = if others.is_empty() {
        ok(TABLES, format!("agents' tables belong to {worker}"))
    } else {
        let found = format!(
            "tables and types of agents belong to others than {worker}, which can neither change nor drop \
             them: {}",
            others.join(", ")
        );
        let fix = "run deploy/roles.sql as postgres: it hands them over. Those of a superuser only a superuser hands \
                   over: run it as one";
        failure(TABLES, found, fix)
    };
    let membership = if row.get("postgres_is_no_member") {
        let found = format!(
            "postgres is no member of {worker}: Studio and migrations cannot change agents' tables, and \
             none is published for Realtime"
        );
        let fix = format!("as a superuser, or run deploy/roles.sql: grant {worker} to postgres;");
        warning(MEMBERSHIP, found, &fix)
    } else {
        ok(MEMBERSHIP, format!("postgres may do what {worker} may"))
    };
    vec![tables, membership]
}
