//! Whether the base schema is as this program makes it.

use tokio_postgres::Client;

use super::finding::{Finding, failure, ok, unseen, warning};
use crate::base_schema::{BaseDifference, verify};
use crate::telemetry::ErrorReport;

const WHAT: &str = "base schema";

/// One finding for each difference; and whether all of its tables are there.
pub(crate) async fn check(client: &mut Client) -> (Vec<Finding>, bool) {
    let verified = verify(client).await;
    let lost =
        verified.as_ref().is_ok_and(|found| found.iter().any(|found| found.lost_table().is_some()));
    let findings = match verified {
        Ok(differences) if differences.is_empty() => {
            vec![ok(WHAT, "is as this program makes it".to_owned())]
        }
        Ok(differences) => differences.iter().map(of).collect(),
        Err(error) => {
            let fix = "run `agent-provisioner migrate verify` as postgres";
            vec![unseen(WHAT, error.code(), ErrorReport(&error).to_string(), fix)]
        }
    };
    (findings, !lost)
}

fn of(difference: &BaseDifference) -> Finding {
    let BaseDifference { change, kind, object, .. } = difference;
    let subject = format!("{change} {kind} {object}");
    let is = if difference.vital { failure } else { warning };
    is(WHAT, difference.to_string(), &difference.fix).about(&subject)
}
