//! Making missing tables and types again by the template's own statements, in a transaction that the caller opened.

use tokio_postgres::Client;

use super::error::Error;
use super::registry::RegisteredAgent;
use crate::agent::{Agent, Prefix};
use crate::postgres::query;
use crate::queue::{RetryPolicy, retry_policy};
use crate::schema::{
    Difference, FirstRows, Recorded, Remake, RepairPlan, missing_homes, plan_repair,
};
use crate::telemetry::RedactedErrorReport;
use crate::templates::{self, ExpectedSchema, Script, apply, apply_or_take_back, lock_referenced};

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

/// What the templates did for an agent, as far as it is needed.
pub(super) struct Known {
    history: Vec<Recorded>,
    /// Of tables that are missing.
    rows: Vec<FirstRows>,
}

impl Known {
    pub(super) async fn read(
        client: &Client,
        expected_schema: &ExpectedSchema,
        agent: &Agent,
        version: i32,
        drift: &[Difference],
    ) -> Result<Self, Error> {
        if !drift.iter().any(Difference::is_whole) {
            return Ok(Self { history: Vec::new(), rows: Vec::new() });
        }
        let history = expected_schema.history(client, agent, version).await?;
        let missing = missing_homes(drift);
        let rows = expected_schema.first_rows(client, agent, version, &missing).await?;
        Ok(Self { history, rows })
    }

    pub(super) fn plan(&self, prefix: &Prefix, drift: &[Difference], force: bool) -> RepairPlan {
        let mut plan = plan_repair(prefix, drift, force, &self.history);
        plan.fill(prefix, drift, &self.rows);
        plan
    }
}

/// Makes what is missing as a whole by its own statements. Where one fails, or does something to what stands, what it is about
/// is passed over, and the plan that comes back puts it together from the catalog. Whether any statement has run.
pub(super) async fn remake(
    client: &Client,
    built: &RegisteredAgent,
    drift: &[Difference],
    force: bool,
    mut known: Known,
    mut plan: RepairPlan,
) -> Result<(bool, RepairPlan), Error> {
    let prefix = &built.agent.prefix;
    while !plan.remake.statements.is_empty() {
        let Err(refusal) = run_or_take_back(client, built, &plan.remake).await? else {
            return Ok((true, plan));
        };
        tracing::warn!(
            agent.prefix = %prefix, error = %RedactedErrorReport(&refusal.error),
            "the template's own statements do not make it again: it is put together from the catalog"
        );
        plan.remake.pass_over(refusal.statement, &mut known.history);
        plan = known.plan(prefix, drift, force);
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
    let before = templates::state(client, &built.tables, &built.types).await?;
    for statement in &remake.statements {
        let ran = run_one(client, &built.agent, statement).await;
        ran.map_err(|error| Refusal { statement: Some(statement), error })?;
    }
    if templates::state(client, &built.tables, &built.types).await? == before {
        return Ok(());
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
    if let Some(error) = refusal(client, &script).await? {
        tracing::info!(error = %RedactedErrorReport(&error), "a statement of the template is passed over");
    }
    Ok(())
}

/// Runs statements that take effect together. What the server says where it refuses them, and would again: they are taken back.
pub(super) async fn refusal(
    client: &Client,
    script: &Script,
) -> Result<Option<templates::Error>, templates::Error> {
    match apply_or_take_back(client, script).await? {
        Err(error) if !is_final(&error) => Err(error),
        done => Ok(done.err()),
    }
}

/// Whether it would fail the same way again.
fn is_final(error: &templates::Error) -> bool {
    match error.code() {
        Some(code) => error.refusal().is_none() && retry_policy(Some(code)) == RetryPolicy::Fail,
        None => matches!(error, templates::Error::Stray { .. }),
    }
}
