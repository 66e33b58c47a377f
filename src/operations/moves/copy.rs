//! A copy of an agent in another database, with the rows of one moment. The agent stays where it is.

use schemars::JsonSchema;
use serde::Serialize;

use super::error::MoveError;
use super::finish::enter;
use super::rows::{copy_rows, layout_of_source, require_same};
use super::{CopiedTable, Sides, Step, build, check, require_version};
use crate::agent::Prefix;
use crate::operations::requested_job::require_owner;
use crate::operations::{Actor, Error};
use crate::postgres::{self, query};
use crate::provisioning::BuildSpec;
use crate::provisioning::moving::{
    self, Carried, Coming, Leaving, Move, TableLayout, read_layout, reserve,
};

/// What became of a copy.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct AgentCopy {
    pub prefix: String,
    pub to: String,
    /// Of the agent here.
    pub id: i64,
    /// Of its copy. null: nothing was done.
    pub new_id: Option<i64>,
    pub outcome: CopyOutcome,
    pub tables: Vec<CopiedTable>,
    /// Gives the copy its foreign key, where agents there have one.
    pub converting: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CopyOutcome {
    /// Nothing is in the way of it. Nothing was done.
    Possible,
    Copied,
}

/// No statement ends before its rows are through, and a side that waits for the other one is idle.
const NO_LIMITS: &str =
    "set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0";

/// Copies an agent. A run that was broken off leaves tables that nobody reaches; the next run builds them anew.
///
/// Writers of the source go on. All rows are those of one snapshot.
pub(crate) async fn copy_agent(
    actor: &Actor,
    sides: Sides<'_>,
    prefix: &Prefix,
    new_id: bool,
    dry_run: bool,
    mut tell: impl FnMut(Step),
) -> Result<AgentCopy, Error> {
    let source = actor.client(sides.source).await?;
    require_owner(&source).await?;
    let leaving = Leaving::read(&source, prefix.as_str(), Carried::NoRoutes).await?;
    drop(source);
    let leaving = leaving.ok_or_else(|| MoveError::NotBuilt(prefix.to_string()))?;
    let target = actor.client(sides.target).await?;
    let begun = Move::coming(&target, sides.source_name, prefix.as_str(), true).await?;
    drop(target);
    let build_spec = check(actor, sides, prefix, &leaving, begun.as_ref(), new_id).await?;
    let mut copy = AgentCopy {
        prefix: prefix.to_string(),
        to: sides.target_name.to_owned(),
        id: leaving.agent,
        new_id: None,
        outcome: CopyOutcome::Possible,
        tables: Vec::new(),
        converting: None,
    };
    if dry_run {
        return Ok(copy);
    }
    let coming = begin(actor, sides, &leaving, prefix, begun, new_id).await?;
    build(actor, sides, &build_spec, &coming, &leaving).await?;
    tell(Step::Built);
    (copy.tables, copy.converting) = fill(actor, sides, prefix, &build_spec, &coming).await?;
    (copy.outcome, copy.new_id) = (CopyOutcome::Copied, Some(coming.agent));
    Ok(copy)
}

/// Has the target note that the agent comes.
async fn begin(
    actor: &Actor,
    sides: Sides<'_>,
    leaving: &Leaving,
    prefix: &Prefix,
    begun: Option<Move>,
    new_id: bool,
) -> Result<Move, Error> {
    let target = actor.client(sides.target).await?;
    let id = match begun {
        Some(begun) => begun.id,
        None => Move::new_id(&target).await?.ok_or(MoveError::Swallowed)?,
    };
    let (prefix, home) = (prefix.as_str(), sides.source_name);
    let coming = Coming { id: &id, agent: leaving.agent, prefix, home, is_copy: true };
    let coming = reserve(&target, coming, new_id, actor.name()).await?;
    Ok(coming.ok_or(MoveError::Swallowed)?)
}

/// Copies the rows and has the agent be there: all of it, or nothing. The job that gives it its foreign key.
async fn fill(
    actor: &Actor,
    sides: Sides<'_>,
    prefix: &Prefix,
    build_spec: &BuildSpec,
    coming: &Move,
) -> Result<(Vec<CopiedTable>, Option<i64>), Error> {
    let mut target = actor.client(sides.target).await?;
    let tx = postgres::begin(&mut target).await.map_err(query("begin a transaction"))?;
    let there = tx.client();
    there.batch_execute(NO_LIMITS).await.map_err(query("begin a transaction"))?;
    Move::lock(there, &coming.id, &["begun"]).await?;
    let coming = Move::find(there, &coming.id).await?.ok_or(MoveError::Swallowed)?;
    let to = read_layout(there, &coming.tables, coming.agent, None).await?;
    let triggers = moving::empty(there, &coming.tables, &to).await?;

    let mut source = actor.client(sides.source).await?;
    let what = Carried::NoRoutes;
    let (_, known) = layout_of_source(&source, prefix.as_str(), what, &coming, &to).await?;
    require_same(&known, &to)?;
    let lock = format!("{NO_LIMITS}; {}", moving::lock_of_readers(&known));
    let begun = postgres::begin_snapshot(&mut source, &lock).await;
    let snapshot = begun.map_err(query("lock the agent's tables"))?;
    let here = snapshot.client();
    let (leaving, from) = layout_of_source(here, prefix.as_str(), what, &coming, &to).await?;
    let names = |tables: &[TableLayout]| {
        tables.iter().map(|table| table.relation.clone()).collect::<Vec<_>>()
    };
    if names(&known) != names(&from) {
        return Err(MoveError::Changed(prefix.to_string()).into());
    }
    require_same(&from, &to)?;
    require_version(prefix.as_str(), &leaving, build_spec.templates())?;
    let tables = copy_rows(here, &from, there, &to).await?;
    moving::complete(here, &leaving.tables, there, &coming.tables, &triggers).await?;
    let rows = tables.iter().map(|table| table.rows).sum();
    let copied = moving::copied(there, &coming.id, rows, &leaving.carried).await?;
    let copied = copied.ok_or(MoveError::Swallowed)?;
    let templates = build_spec.templates();
    let converting = enter(actor, sides, there, templates, &coming, &copied).await?;
    tx.commit().await.map_err(query("keep the copy"))?;
    Ok((tables, converting))
}
