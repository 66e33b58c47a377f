//! Whether others can put something in the way of what the API and the worker call.

use tokio_postgres::{Client, Row};

use super::finding::{Finding, failure, ok, warning};
use crate::telemetry::ErrorReport;

const CREATORS: &str = "schema public";

pub(crate) async fn check(client: &Client) -> Finding {
    let sql = include_str!("../../../sql/operations/doctor/public_schema.sql");
    match client.query_typed(sql, &[]).await {
        Ok(rows) => of_creators(&rows),
        Err(error) => {
            failure(CREATORS, ErrorReport(&error).to_string(), "run deploy/roles.sql as postgres")
        }
    }
}

fn of_creators(rows: &[Row]) -> Finding {
    if rows.is_empty() {
        let found = "nobody may create there but its owner, the worker and superusers";
        return ok(CREATORS, found.to_owned());
    }
    let found = format!(
        "{} may create there: tables that take the names of an agent's, and operators and functions that the \
         API, which has it in its search_path, finds instead of the built-in ones",
        column(rows, "name").join(", ")
    );
    warning(CREATORS, found, &column(rows, "fix").join(" "))
}

fn column(rows: &[Row], name: &str) -> Vec<String> {
    rows.iter().map(|row| row.get(name)).collect()
}
