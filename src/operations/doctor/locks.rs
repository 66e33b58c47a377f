//! Whether somebody's lock holds up jobs.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::finding::{Finding, failure, ok, warning};
use crate::queue::{LockHolder, lock_holders};
use crate::telemetry::ErrorReport;

const WHAT: &str = "locks";

pub(crate) async fn check(client: &Client) -> Vec<Finding> {
    let holders = match lock_holders(client).await {
        Ok(holders) => holders,
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
    let finding = |holder: &LockHolder| {
        let found = format!("jobs are held up by {holder}");
        let fix = format!(
            "wait until that transaction is over, or, if nobody needs it: {}",
            holder.way_out
        );
        warning(WHAT, found, &fix)
    };
    holders.iter().map(finding).collect()
}
