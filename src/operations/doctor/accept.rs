//! Accepting a finding, and taking that back.

use std::time::SystemTime;

use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::types::{ToSql, Type};

use super::examine::examine;
use super::finding::{Acceptance, Finding, Severity};
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
    require_owner(&*actor.client(instance).await?).await?;
    accept_found(actor, instance, &found, key, reason, until).await
}

/// Accepts one of these findings. Needs the rights of an operator: those of the owner, or the console's.
pub(crate) async fn accept_found(
    actor: &Actor,
    instance: &Instance,
    found: &[Finding],
    key: &str,
    reason: &str,
    until: Option<&str>,
) -> Result<Acceptance, Error> {
    let bad =
        |severity| found.iter().any(|finding| finding.key == key && finding.severity == severity);
    let severity = match (bad(Severity::Failure), bad(Severity::Warning)) {
        (true, _) => "failure",
        (false, true) => "warning",
        (false, false) => return Err(Error::NoFinding(key.to_owned())),
    };
    let client = actor.client(instance).await?;
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

/// Whether the server reads this as a day, whatever its settings, and the day is not over in UTC.
pub(crate) fn is_open_day(text: &str) -> bool {
    let end = humantime::parse_rfc3339(&format!("{text}T23:59:59Z"));
    text.len() == 10 && end.is_ok_and(|end| end > SystemTime::now())
}

/// What is accepted no more.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Withdrawn {
    pub key: String,
}

/// Takes that back. Needs the rights of the owner of the schema.
pub(crate) async fn withdraw(
    actor: &Actor,
    instance: &Instance,
    key: &str,
) -> Result<Withdrawn, Error> {
    require_owner(&*actor.client(instance).await?).await?;
    withdraw_for(actor, instance, key, None).await
}

/// The same for an operator, with a reason.
pub(crate) async fn withdraw_for(
    actor: &Actor,
    instance: &Instance,
    key: &str,
    reason: Option<&str>,
) -> Result<Withdrawn, Error> {
    let client = actor.client(instance).await?;
    let doing = || query("withdraw it");
    let sql = "select provisioning.withdraw_finding($1, $2, $3)";
    let asked: [(&(dyn ToSql + Sync), Type); 3] =
        [(&key, Type::TEXT), (&reason, Type::TEXT), (&actor.name(), Type::TEXT)];
    let rows = client.query_typed(sql, &asked).await.map_err(doing())?;
    let row = rows.first().ok_or_else(|| Error::NotAccepted(key.to_owned()))?;
    let withdrawn: bool = row.try_get(0).map_err(doing())?;
    if withdrawn {
        Ok(Withdrawn { key: key.to_owned() })
    } else {
        Err(Error::NotAccepted(key.to_owned()))
    }
}
