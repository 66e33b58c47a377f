//! Making missing tables and types again by the template's own statements, in a transaction that the caller opened.

use std::mem;

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::error::Error;
use super::registry::RegisteredAgent;
use crate::agent::Agent;
use crate::postgres::query;
use crate::queue::{RetryPolicy, retry_policy};
use crate::schema::{
    Difference, Fact, Kind, Recorded, Remake, RepairPlan, missing_homes, plan_repair,
};
use crate::telemetry::ErrorReport;
use crate::templates::{self, Script, apply, apply_or_take_back, lock_referenced};

/// Why the own statements do not make what is missing.
struct Refusal<'a> {
    /// The one that failed. `None`: it may be any of them.
    statement: Option<&'a Recorded>,
    error: templates::Error,
}

impl From<templates::Error> for Refusal<'_> {
    fn from(error: templates::Error) -> Self {
        Self { statement: None, error }
    }
}

/// The plan by which all own statements run.
pub(super) async fn first_plan(
    client: &Client,
    agent: &Agent,
    drift: &[Difference],
    force: bool,
    history: &[Recorded],
) -> Result<RepairPlan, Error> {
    let mut plan = plan_repair(&agent.prefix, drift, force, history);
    if !plan.remake.statements.is_empty() {
        plan.remake.forced = forced_parents(client, drift).await?;
    }
    Ok(plan)
}

/// Makes what is missing as a whole by its own statements. Where one fails, or does something to what stands, what it is about
/// is passed over, and the plan that comes back puts it together from the catalog. Whether any statement has run.
pub(super) async fn remake(
    client: &Client,
    built: &RegisteredAgent,
    drift: &[Difference],
    force: bool,
    mut history: Vec<Recorded>,
    mut plan: RepairPlan,
) -> Result<(bool, RepairPlan), Error> {
    let prefix = &built.agent.prefix;
    while !plan.remake.statements.is_empty() {
        let Err(refusal) = run_or_take_back(client, built, &plan.remake).await? else {
            return Ok((true, plan));
        };
        let statement = refusal.statement.map(Recorded::to_sql);
        tracing::warn!(
            agent.prefix = %prefix, error = %ErrorReport(&refusal.error), statement,
            "the template's own statements do not make it again: it is put together from the catalog"
        );
        plan.remake.pass_over(refusal.statement, &mut history);
        let forced = mem::take(&mut plan.remake.forced);
        plan = plan_repair(prefix, drift, force, &history);
        plan.remake.forced = forced;
    }
    Ok((false, plan))
}

/// The same where nothing else may run: one that fails is an error. Whether there are any.
pub(super) async fn remake_all(
    client: &Client,
    built: &RegisteredAgent,
    plan: &RepairPlan,
) -> Result<bool, Error> {
    if plan.remake.statements.is_empty() {
        return Ok(false);
    }
    run(client, built, &plan.remake).await.map_err(|refusal| refusal.error)?;
    Ok(true)
}

/// All of them. Where one would fail the same way again, nothing has happened.
async fn run_or_take_back<'a>(
    client: &Client,
    built: &RegisteredAgent,
    remake: &'a Remake,
) -> Result<Result<(), Refusal<'a>>, Error> {
    let opened = client.batch_execute("savepoint remake").await;
    opened.map_err(query("open a savepoint"))?;
    let (end, ran) = match run(client, built, remake).await {
        Ok(()) => ("release savepoint remake", Ok(())),
        Err(refusal) if is_final(&refusal.error) => {
            ("rollback to savepoint remake; release savepoint remake", Err(refusal))
        }
        Err(refusal) => return Err(refusal.error.into()),
    };
    client.batch_execute(end).await.map_err(query("end a savepoint"))?;
    Ok(ran)
}

async fn run<'a>(
    client: &Client,
    built: &RegisteredAgent,
    remake: &'a Remake,
) -> Result<(), Refusal<'a>> {
    apply(client, &Script::of(remake.lift("no force").join(";\n"))).await?;
    let before = templates::state(client, &built.tables, &built.types).await?;
    for statement in &remake.statements {
        let ran = run_one(client, &built.agent, statement).await;
        ran.map_err(|error| Refusal { statement: Some(statement), error })?;
    }
    if templates::state(client, &built.tables, &built.types).await? == before {
        return Ok(apply(client, &Script::of(remake.lift("force").join(";\n"))).await?);
    }
    let (at, reason) = (String::new(), "a statement changes a table that stands".to_owned());
    Err(templates::Error::Stray { at, reason }.into())
}

async fn run_one(
    client: &Client,
    agent: &Agent,
    statement: &Recorded,
) -> Result<(), templates::Error> {
    let script = Script::of(statement.sql.as_str()).with_public_path(statement.public_path);
    lock_referenced(client, &script, &agent.prefix).await?;
    if !statement.is_about_parts() {
        return apply(client, &script).await;
    }
    // A part of it may be gone in the end, by a statement about a parent that stands, or have another name by now, as what a
    // key refers to. The rest is made one by one, and what is still missing is put together from the catalog.
    match apply_or_take_back(client, &script).await? {
        Err(error) if !is_final(&error) => Err(error),
        Err(error) => {
            tracing::info!(error = %ErrorReport(&error), "a statement of the template is passed over");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// The tables that stand, have a missing table as a partition, and force row security upon their owner.
async fn forced_parents(client: &Client, drift: &[Difference]) -> Result<Vec<String>, Error> {
    let new = missing_homes(drift);
    let is_partition = |fact: &&Fact| {
        fact.kind == Kind::Parent && new.contains(fact.home.as_str()) && !fact.definition.is_empty()
    };
    let parents = drift.iter().map(|drift| &drift.object).filter(is_partition);
    let parents: Vec<&str> = parents.map(|fact| fact.part.as_str()).collect();
    if parents.is_empty() {
        return Ok(Vec::new());
    }
    let sql = include_str!("../../sql/provisioning/forced_ancestors.sql");
    let rows = client.query_typed(sql, &[(&parents, Type::TEXT_ARRAY)]).await;
    let rows = rows.map_err(query("look for parents that force row security"))?;
    Ok(rows.iter().map(|row| row.get("name")).collect())
}

/// Whether it would fail the same way again.
pub(super) fn is_final(error: &templates::Error) -> bool {
    match error.code() {
        Some(code) => error.refusal().is_none() && retry_policy(Some(code)) == RetryPolicy::Fail,
        None => matches!(error, templates::Error::Stray { .. }),
    }
}
