//! Whether an agent is on its way to another database, and nobody goes on.

use tokio_postgres::{Client, Row};

use super::finding::{Finding, failure, ok, warning};
use crate::config::{Config, DatabaseName};
use crate::telemetry::ErrorReport;

const WHAT: &str = "moves";

/// A move that began a moment ago may be under way.
const SQL: &str = "select direction = 'out' as is_source, is_copy, agent_prefix, peer, state, \
    to_char(coalesce(handed_over_at, begun_at) at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') as since \
    from provisioning.moves \
    where ended_at is null and coalesce(handed_over_at, begun_at) < now() - interval '2 minutes' order by agent_prefix";

/// One finding for each move that stands still.
pub(crate) async fn check(client: &Client, config: &Config) -> Vec<Finding> {
    let here = config.name.as_ref().map_or("HERE", DatabaseName::as_str);
    let rows = match client.query_typed(SQL, &[]).await {
        Ok(rows) => rows,
        Err(error) => {
            let fix = "run deploy/roles.sql as postgres and log in as agent_provisioner";
            return vec![failure(WHAT, ErrorReport(&error).to_string(), fix)];
        }
    };
    if rows.is_empty() {
        return vec![ok(WHAT, "no agent is on its way to another database for long".to_owned())];
    }
    rows.iter().map(|row| of(row, here)).collect()
}

/// `here`: the name of this database.
fn of(row: &Row, here: &str) -> Finding {
    let text = |column| row.get::<_, &str>(column);
    let (prefix, peer, since) = (text("agent_prefix"), text("peer"), text("since"));
    let command = format!("agent-provisioner --database {here} agents move {prefix} --to {peer}");
    if row.get::<_, bool>("is_copy") {
        let found = format!(
            "a copy of agent {prefix} of database {peer:?} was begun at {since}, and is not finished; its prefix and its id are taken"
        );
        let fix = format!(
            "run it again: agent-provisioner --database {peer} agents copy {prefix} --to {here}; or give it up by --abort"
        );
        return warning(WHAT, found, &fix).about(prefix);
    }
    if !row.get::<_, bool>("is_source") {
        let found = format!(
            "an agent {prefix} comes from database {peer:?} since {since}; its prefix and its id are taken"
        );
        let fix = format!(
            "see: agent-provisioner --database {peer} doctor; if that knows nothing of it: agent-provisioner --database {peer} agents move \
             {prefix} --to {here} --abort"
        );
        return warning(WHAT, found, &fix).about(prefix);
    }
    if text("state") == "handed_over" {
        let found = format!(
            "agent {prefix} was handed over to database {peer:?} at {since}, and the move is not finished: perhaps nobody takes its \
             writes"
        );
        return failure(WHAT, found, &command).about(prefix);
    }
    let found = format!(
        "agent {prefix} is on its way to database {peer:?} since {since}, and is served here"
    );
    let fix = format!("{command}; or give the move up: {command} --abort");
    warning(WHAT, found, &fix).about(prefix)
}
