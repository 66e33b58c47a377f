//! Which findings a person has accepted.

use tokio_postgres::{Client, Row};

use super::finding::{Acceptance, Finding, Severity, ok, warning};
use crate::operations::Error;
use crate::postgres::query;
use crate::service::Instance;
use crate::telemetry::ErrorReport;

impl Acceptance {
    pub(super) fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let severity = match row.try_get("severity")? {
            "failure" => Severity::Failure,
            _ => Severity::Warning,
        };
        Ok(Self {
            key: row.try_get("key")?,
            severity,
            reason: row.try_get("reason")?,
            accepted_by: row.try_get("accepted_by")?,
            accepted_at: row.try_get("accepted_at")?,
            until: row.try_get("until")?,
            holds: row.try_get("holds")?,
        })
    }
}

const WHAT: &str = "accepted";

async fn read(client: &Client) -> Result<Vec<Acceptance>, tokio_postgres::Error> {
    let sql = include_str!("../../../sql/operations/doctor/accepted.sql");
    client.query_typed(sql, &[]).await?.iter().map(Acceptance::read).collect()
}

/// All of them, by their keys.
pub(crate) async fn list(instance: &Instance) -> Result<Vec<Acceptance>, Error> {
    let client = instance.current().await?;
    Ok(read(&client).await.map_err(query("list the accepted findings"))?)
}

/// Notes in the findings which are accepted.
pub(super) async fn mark(client: &Client, findings: &mut Vec<Finding>) {
    let accepted = match read(client).await {
        Ok(accepted) => accepted,
        Err(error) => {
            let fix = "run deploy/roles.sql as postgres and log in as agent_provisioner";
            findings.push(warning(WHAT, ErrorReport(&error).to_string(), fix));
            return;
        }
    };
    for finding in findings.iter_mut().filter(|finding| finding.severity != Severity::Ok) {
        finding.accepted = accepted.iter().find(|accepted| accepted.covers(finding)).cloned();
    }
    let count = findings.iter().filter(|finding| finding.accepted.is_some()).count();
    let found = match count {
        0 => "no finding is".to_owned(),
        count => format!("{count} of these are; see `doctor accepted`"),
    };
    findings.push(ok(WHAT, found));
}
