//! The schema's version: brought up to this program's, looked at, and taken back.

use schemars::JsonSchema;
use serde::Serialize;

use super::error::Error;
use super::id_range::IdRangeReport;
use crate::service::Instance;
use crate::{base_schema, postgres};

pub(crate) use crate::base_schema::{BaseDifference, Baseline, NOT_COMPARED, Repaired};
pub(crate) use crate::postgres::{Applied, File, MigrateError, Migration, Step, schema_version};

/// What `migrate status` says of a migration or of a repeatable file.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct StepReport {
    /// Of a migration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i32>,
    /// Of a migration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<&'static str>,
    /// The name of a repeatable file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeatable: Option<&'static str>,
    /// `applied`, `changed` or `missing`.
    pub state: &'static str,
    /// RFC 3339, in UTC.
    pub applied_at: Option<String>,
    /// The sha256 of the file in this program, in hex.
    pub checksum: String,
}

/// What `migrate verify` says.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct VerifyReport {
    /// What the ledger lacks.
    pub ledger: Option<String>,
    pub differences: Vec<BaseDifference>,
    /// What no comparison looks at.
    pub not_compared: &'static str,
}

/// The names of the files that `migrate` has applied.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct UpReport {
    pub applied: Vec<String>,
    /// The ids of new agents, where a range was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ids: Option<IdRangeReport>,
}

/// The names of the migrations that `migrate down` has taken back.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct DownReport {
    pub taken_back: Vec<String>,
}

/// What `migrate baseline` came to.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct BaselineReport {
    /// Something was recorded. False with differences: it was refused; without them it was all recorded before.
    pub recorded: bool,
    /// Of this program's schema.
    pub version: i32,
    pub differences: Vec<BaseDifference>,
}

/// Applies what is missing; with `shim`, after the roles and the auth schema of Supabase, for development only.
pub(crate) async fn up(instance: &Instance, shim: bool) -> Result<Vec<Applied>, Error> {
    let mut client = instance.connect().await?;
    if shim {
        postgres::install_shim(&client).await?;
    }
    Ok(postgres::migrate(&mut client).await?)
}

/// Every migration and every repeatable file, and whether it is applied.
pub(crate) async fn status(instance: &Instance) -> Result<(Vec<Step>, Vec<File>), Error> {
    let mut client = instance.connect().await?;
    Ok((postgres::status(&mut client).await?, postgres::files(&mut client).await?))
}

/// How the base schema differs from what this program makes.
#[derive(Debug)]
pub(crate) struct Verified {
    /// What the ledger lacks.
    pub ledger: Option<MigrateError>,
    pub differences: Vec<BaseDifference>,
}

/// Compares. A schema that was restored without its ledger is compared, too. Fails on a newer schema.
pub(crate) async fn verify(instance: &Instance) -> Result<Verified, Error> {
    let mut client = instance.connect().await?;
    let ledger = match postgres::require_current(&mut client).await {
        Err(error @ (MigrateError::Older { .. } | MigrateError::OtherRepeatables(_))) => {
            Some(error)
        }
        checked => checked.map(|()| None)?,
    };
    Ok(Verified { ledger, differences: base_schema::verify(&mut client).await? })
}

/// Puts the base schema back; with `force` it also takes additional policies and grants away.
pub(crate) async fn repair(instance: &Instance, force: bool) -> Result<Repaired, Error> {
    Ok(base_schema::repair(&mut *instance.connect().await?, force).await?)
}

/// Records a schema that was restored without its ledger.
pub(crate) async fn baseline(instance: &Instance) -> Result<Baseline, Error> {
    Ok(base_schema::baseline(&mut *instance.connect().await?).await?)
}

/// Takes back everything above a version; with `yes` also where rows are lost.
pub(crate) async fn down(
    instance: &Instance,
    to: i32,
    yes: bool,
) -> Result<Vec<&'static Migration>, Error> {
    Ok(postgres::down(&mut *instance.connect().await?, to, yes).await?)
}

/// The migrations above a version and the repeatable files as one SQL script.
pub(crate) fn script(after: i32) -> Result<String, Error> {
    Ok(postgres::script(after)?)
}
