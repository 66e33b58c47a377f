//! Whether a transaction keeps the server from cleaning up.

use tokio_postgres::{Client, Error, Row};

use super::finding::{Finding, ok, warning};
use crate::telemetry::ErrorReport;

const WHAT: &str = "snapshots";

/// One finding for each transaction that is an hour old or older, and that no other finding ends.
pub(crate) async fn check(client: &Client, others: &[Finding]) -> Vec<Finding> {
    let sql = include_str!("../../../sql/operations/doctor/snapshots.sql");
    let seen = client.query_typed(sql, &[]).await;
    match seen.and_then(|rows| rows.iter().map(of_row).collect::<Result<Vec<_>, _>>()) {
        Ok(mut findings) => {
            let statement = |finding: &Finding| {
                let (_, statement) = finding.fix.as_deref()?.rsplit_once(": ")?;
                Some(statement.trim_end_matches(';').to_owned())
            };
            let ended: Vec<_> = others.iter().filter_map(statement).collect();
            findings.retain(|found| statement(found).is_none_or(|end| !ended.contains(&end)));
            findings
        }
        Err(error) => vec![warning(WHAT, ErrorReport(&error).to_string(), "see the server's log")],
    }
}

fn of_row(row: &Row) -> Result<Finding, Error> {
    let Some(minutes) = row.try_get::<_, Option<i64>>("minutes")? else {
        let hidden: i64 = row.try_get("hidden")?;
        let unseen = if hidden == 0 {
            String::new()
        } else {
            format!("; {hidden} sessions are hidden from this role: ask as postgres")
        };
        return Ok(ok(WHAT, format!("no transaction is older than an hour{unseen}")));
    };
    let text = |name| row.try_get::<_, Option<String>>(name).map(Option::unwrap_or_default);
    let (role, application, state) = (text("role")?, text("application")?, text("state")?);
    let who = match row.try_get::<_, Option<i32>>("pid")? {
        Some(pid) => format!("backend {pid} ({application}, user {role}, {state})"),
        None => format!("prepared transaction {application} (user {role})"),
    };
    let found = format!(
        "{who} has had a transaction open for {minutes} min: meanwhile the server keeps what deleted agents leave in \
         the catalog, and all statements become slower"
    );
    let fix =
        format!("wait until it is over, or, if nobody needs it, as postgres: {}", text("way_out")?);
    Ok(warning(WHAT, found, &fix))
}
