//! Whether others can put something in the way of what the API and the worker call.

use tokio_postgres::{Client, Row};

use super::{Finding, failure, ok, warning};
use crate::error::Chain;

const CREATORS: &str = "schema public";
const OBJECTS: &str = "owners";

pub(super) async fn judge(client: &Client) -> Vec<Finding> {
    let sql = include_str!("../../sql/queries/doctor_public.sql");
    match client.query_typed(sql, &[]).await {
        Ok(rows) => {
            let (creators, objects): (Vec<_>, Vec<_>) =
                rows.iter().partition(|row| row.get::<_, &str>("what") == "creator");
            vec![of_creators(&creators), of_objects(&objects)]
        }
        Err(error) => {
            vec![failure(OBJECTS, Chain(&error).to_string(), "run deploy/roles.sql as postgres")]
        }
    }
}

fn of_creators(rows: &[&Row]) -> Finding {
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

fn of_objects(rows: &[&Row]) -> Finding {
    if rows.is_empty() {
        return ok(OBJECTS, "what bears our names is ours".to_owned());
    }
    let found: Vec<String> = rows
        .iter()
        .map(|row| {
            format!("{} belongs to {}", row.get::<_, &str>("name"), row.get::<_, &str>("owner"))
        })
        .collect();
    let fix = format!(
        "see what it is; then drop it, or take it over as a superuser: {}",
        column(rows, "fix").join(" ")
    );
    warning(OBJECTS, found.join(", "), &fix)
}

fn column(rows: &[&Row], name: &str) -> Vec<String> {
    rows.iter().map(|row| row.get(name)).collect()
}
