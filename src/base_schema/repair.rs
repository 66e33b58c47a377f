//! Puts the base schema back, and records a schema that was restored without its ledger.

use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Transaction};

use super::compare::{compare, verify};
use super::difference::{BaseDifference, Remedy};
use super::error::Error;
use super::facts::{expected, owner};
use super::names::Names;
use crate::postgres::migrate::{
    Step, apart, are_files_current, begin, patiently, prepare, record, run, run_files,
};
use crate::postgres::{MigrateError, query};

/// What a repair came to.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Repaired {
    /// What differed, and does no longer.
    pub put_back: Vec<BaseDifference>,
    /// What still differs.
    pub left: Vec<BaseDifference>,
    /// Users in auth.users whom public.users lacks; null where this role may not look.
    pub not_copied: Option<i64>,
}

/// What a baseline came to.
#[derive(Debug)]
pub enum Baseline {
    /// All of it was recorded before.
    Nothing,
    /// The schema is this program's, and is recorded now.
    Recorded,
    /// It is not, and nothing was recorded.
    Refused(Vec<BaseDifference>),
}

/// Runs the repeatable files again, in one transaction, and touches no row.
///
/// Files that lock tables run only where something needs them. Additional policies and grants stay, unless `force`.
/// Waits for locks as `migrate` does.
pub async fn repair(client: &mut Client, force: bool) -> Result<Repaired, Error> {
    let attempt = async |client: &mut Client| match put_back(client, force).await {
        Err(Error::Migrate(error)) => Err(error),
        done => Ok(done),
    };
    let before = patiently(client, attempt).await??;
    let mut left = verify(client).await?;
    left.iter_mut().for_each(BaseDifference::tell_in_the_way);
    let is_left =
        |was: &BaseDifference| left.iter().any(|now| now.drift.object == was.drift.object);
    let put_back = before.into_iter().filter(|was| !is_left(was)).collect();
    Ok(Repaired { put_back, left, not_copied: not_copied(client).await })
}

/// What differed before.
async fn put_back(client: &mut Client, force: bool) -> Result<Vec<BaseDifference>, Error> {
    let tx = begin(client).await?;
    become_owner(&tx).await?;
    let steps = prepare(&tx).await?;
    let current = are_files_current(&tx).await?;
    let before = compare(&tx).await?;
    require_tables(&steps, &before)?;
    if force {
        let grants = before.iter().filter(|difference| !difference.needs_locks());
        all(&tx, grants.filter_map(BaseDifference::take)).await?;
    }
    clear_the_way(&tx, &before).await?;
    tell_grants(&tx, &before).await?;
    run_files(&tx, false).await?;
    let locks = |difference: &&BaseDifference| match difference.remedy {
        Remedy::Repair => difference.needs_locks(),
        Remedy::Force => force && difference.needs_locks(),
        Remedy::ByHand => false,
    };
    // No trigger of ours comes upon a table that only has the name of one of ours.
    let complete = before.iter().all(|difference| difference.lost_table().is_none());
    if complete && (!current || before.iter().any(|difference| locks(&difference))) {
        run_files(&tx, true).await?;
    }
    if force {
        let policies = before.iter().filter(|difference| difference.needs_locks());
        all(&tx, policies.filter_map(BaseDifference::take)).await?;
    }
    tx.commit()
        .await
        .map_err(|source| MigrateError::Query { doing: "commit".to_owned(), source })?;
    Ok(before)
}

/// What something else needs stays, and so does its file.
async fn clear_the_way(tx: &Transaction<'_>, before: &[BaseDifference]) -> Result<(), Error> {
    for drop in before.iter().filter_map(BaseDifference::drop_first) {
        match apart(tx, run(tx, &drop, &drop)).await? {
            Err(error) if error.is_lock() => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

/// The file of grants takes rights from what is new only. Everything else keeps what it has.
async fn tell_grants(tx: &Transaction<'_>, before: &[BaseDifference]) -> Result<(), Error> {
    let anew: Vec<_> = before.iter().filter_map(BaseDifference::made_anew).collect();
    // Empty means everything.
    let anew = if anew.is_empty() { "nothing".to_owned() } else { anew.join("\n") };
    let sql = "select set_config('provisioning.made_anew', $1, true)";
    let told = tx.query_typed(sql, &[(&anew, Type::TEXT)]).await;
    Ok(told.map(drop).map_err(query("name what is made anew"))?)
}

/// Records a schema that is this program's in a ledger that says nothing of it. Waits for locks as `migrate` does.
pub async fn baseline(client: &mut Client) -> Result<Baseline, Error> {
    let attempt = async |client: &mut Client| match enter(client).await {
        Err(Error::Migrate(error)) => Err(error),
        done => Ok(done),
    };
    patiently(client, attempt).await?
}

async fn enter(client: &mut Client) -> Result<Baseline, Error> {
    let tx = begin(client).await?;
    become_owner(&tx).await?;
    let steps = prepare(&tx).await?;
    let recorded = steps.iter().filter(|step| step.applied.is_some()).count();
    if recorded == steps.len() {
        return Ok(Baseline::Nothing);
    }
    if recorded > 0 {
        return Err(older(&steps).into());
    }
    let differences = compare(&tx).await?;
    if !differences.is_empty() {
        return Ok(Baseline::Refused(differences));
    }
    record(&tx, &steps).await?;
    tx.commit()
        .await
        .map_err(|source| MigrateError::Query { doing: "commit".to_owned(), source })?;
    Ok(Baseline::Recorded)
}

/// What a superuser makes anew would be his otherwise, and code of ours would run with his rights.
async fn become_owner(tx: &Transaction<'_>) -> Result<(), Error> {
    let owner = owner(tx, &Names::of(&expected()?)).await?.name;
    let sql = "select set_config('role', r.rolname, true) from pg_catalog.pg_roles r \
               where quote_ident(r.rolname) = $1 and r.rolname <> current_user and pg_has_role(r.oid, 'member')";
    let became = tx.query_typed(sql, &[(&owner, Type::TEXT)]).await;
    Ok(became.map(drop).map_err(query("act as the owner of schema provisioning"))?)
}

/// A ledger without entries is no obstacle: the schema may have been restored without data.
fn require_tables(steps: &[Step], differences: &[BaseDifference]) -> Result<(), MigrateError> {
    let recorded = steps.iter().filter(|step| step.applied.is_some()).count();
    let tables =
        |difference: &BaseDifference| difference.change == "missing" && difference.kind == "table";
    if recorded == steps.len() || recorded == 0 && !differences.iter().any(tables) {
        return Ok(());
    }
    Err(older(steps))
}

fn older(steps: &[Step]) -> MigrateError {
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let found = steps.iter().filter(|step| step.applied.is_some()).count();
    MigrateError::Older { found: count(found), known: count(steps.len()) }
}

async fn all(tx: &Transaction<'_>, statements: impl Iterator<Item = String>) -> Result<(), Error> {
    let statements: Vec<_> = statements.collect();
    Ok(run(tx, &statements.join(";\n"), "set grants and policies").await?)
}

async fn not_copied(client: &Client) -> Option<i64> {
    let sql = "select count(*) from auth.users a \
               where not exists (select from public.users u where u.id = a.id)";
    client.query_typed(sql, &[]).await.ok()?.first().map(|row| row.get(0))
}
