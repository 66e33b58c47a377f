//! Accepting a finding, and taking that back.

use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::types::{ToSql, Type};

use super::examine::examine;
use super::finding::{Acceptance, Severity};
use crate::operations::requested_job::require_owner;
use crate::operations::{Actor, Error};
use crate::postgres::query;
use crate::service::Instance;

/// Accepts what is found now. Needs the rights of the owner of the schema.
pub(crate) async fn accept(
    actor: &Actor,
    instance: &Instance,
    key: &str,
    reason: &str,
    until: Option<&str>,
) -> Result<Acceptance, Error> {
    let found = examine(instance).await?;
    let bad =
        |severity| found.iter().any(|finding| finding.key == key && finding.severity == severity);
    let severity = match (bad(Severity::Failure), bad(Severity::Warning)) {
        (true, _) => "failure",
        (false, true) => "warning",
        (false, false) => return Err(Error::NoFinding(key.to_owned())),
    };
    let client = actor.client(instance).await?;
    require_owner(&client).await?;
    let sql = include_str!("../../../sql/operations/doctor/accept.sql");
    let doing = || query("accept the finding");
    let asked: [(&(dyn ToSql + Sync), Type); 5] = [
        (&key, Type::TEXT),
        (&severity, Type::TEXT),
        (&reason, Type::TEXT),
        (&actor.name(), Type::TEXT),
        (&until, Type::TEXT),
    ];
    let rows = client.query_typed(sql, &asked).await.map_err(doing())?;
    let row = rows.first().ok_or(Error::NoFinding(key.to_owned()))?;
    Ok(Acceptance::read(row).map_err(doing())?)
}

/// What is accepted no more.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Withdrawn {
    pub key: String,
}

/// Takes that back. Needs the same rights.
pub(crate) async fn withdraw(
    actor: &Actor,
    instance: &Instance,
    key: &str,
) -> Result<Withdrawn, Error> {
    let client = actor.client(instance).await?;
    require_owner(&client).await?;
    let sql = "delete from provisioning.accepted_findings where key = $1 returning key";
    let rows = client.query_typed(sql, &[(&key, Type::TEXT)]).await;
    match rows.map_err(query("withdraw it"))?.as_slice() {
        [] => Err(Error::NotAccepted(key.to_owned())),
        _ => Ok(Withdrawn { key: key.to_owned() }),
    }
}
