//! Whether somebody's lock holds up jobs.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::finding::{Finding, failure, ok, warning};
use crate::queue::{LockHolder, distinct, lock_holders};
use crate::telemetry::ErrorReport;

const WHAT: &str = "locks";

pub(crate) async fn check(client: &Client) -> Vec<Finding> {
    let holders = match lock_holders(client).await {
        Ok(holders) => distinct(holders),
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            let fix = "run deploy/roles.sql as postgres and log in as agent_provisioner";
            return vec![failure(WHAT, ErrorReport(&error).to_string(), fix)];
        }
        Err(error) => {
            let fix = "see the server's log";
            return vec![warning(WHAT, ErrorReport(&error).to_string(), fix)];
        }
    };
    if holders.is_empty() {
        return vec![ok(WHAT, "nobody holds up a job".to_owned())];
    }
    holders.iter().map(|holder| of(holder, "jobs are held up by")).collect()
}

/// Who has a table of the queue locked: meanwhile nothing else can be looked at. Nobody where that cannot be asked.
pub(crate) async fn of_queue(client: &Client) -> Vec<Finding> {
    let holders = distinct(lock_holders(client).await.unwrap_or_default());
    let all = holders.iter().filter(|holder| holder.holds_up_all());
    all.map(|holder| {
        of(holder, "no job is worked on, and nothing else can be looked at, because of")
    })
    .collect()
}

fn of(holder: &LockHolder, held_up: &str) -> Finding {
    let found = format!("{held_up} {holder}");
    let fix =
        format!("wait until that transaction is over, or, if nobody needs it: {}", holder.way_out);
    warning(WHAT, found, &fix)
}
