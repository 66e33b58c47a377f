//! Moving or copying an agent to another database. What is on which side at which step: `provisioning/moving/mod.rs`.

mod abort;
mod copy;
mod error;
mod finish;
mod hand_over;
mod rows;

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::actor::Actor;
use super::error::Error;
use super::requested_job::require_owner;
use crate::agent::{Prefix, Reference};
use crate::postgres::{self, query};
use crate::provisioning::BuildSpec;
use crate::provisioning::moving::{
    self, Carried, Coming, Leaving, Move, MoveState, obstacles, open_jobs, read_layout, reserve,
};
use crate::queue::admin::End;
use crate::service::Instance;
use crate::templates::Templates;

pub(crate) use abort::{Aborted, abort, abort_copy, under_way};
pub(crate) use copy::{AgentCopy, CopyOutcome, copy_agent};
pub(crate) use error::MoveError;

/// The two databases of a move, and their names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sides<'a> {
    pub(crate) source: &'a Instance,
    pub(crate) source_name: &'a str,
    pub(crate) target: &'a Instance,
    pub(crate) target_name: &'a str,
}

/// How to move.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Under an id of the target.
    pub(crate) new_id: bool,
    /// Writers wait no longer than that.
    pub(crate) max_lock: Duration,
    /// Only look whether it can go.
    pub(crate) dry_run: bool,
}

/// What somebody who waits is told.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Built,
    /// Somebody's locks are in the way; it is tried again.
    Busy(Vec<String>),
    HandedOver,
    /// The target does not answer; it is tried again.
    Retried(String),
}

/// What became of a move.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Moved {
    pub prefix: String,
    pub to: String,
    /// Of the agent on the source.
    pub id: i64,
    /// Of the agent on the target. null: nothing was done.
    pub new_id: Option<i64>,
    pub outcome: MoveOutcome,
    /// As they were copied by this run.
    pub tables: Vec<CopiedTable>,
    pub rows: Option<i64>,
    /// For so many milliseconds this run kept writers from the tables of the source.
    pub locked_ms: Option<u64>,
    /// Moves the tables of the source into the trash.
    pub job: Option<i64>,
    /// How that job ended, where somebody waited for it.
    pub end: Option<End>,
    /// Gives the agent its foreign key on the target, where agents have one.
    pub converting: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MoveOutcome {
    /// Nothing is in the way of it. Nothing was done.
    Possible,
    Moved,
    /// It was there already.
    AlreadyMoved,
}

#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct CopiedTable {
    pub table: String,
    pub rows: i64,
}

/// Moves an agent, or goes on with a move that was broken off at any point. `tell` is told of steps.
pub(crate) async fn move_agent(
    actor: &Actor,
    sides: Sides<'_>,
    prefix: &Prefix,
    options: Options,
    mut tell: impl FnMut(Step),
) -> Result<Moved, Error> {
    let source = actor.client(sides.source).await?;
    require_owner(&source).await?;
    let last = Move::last(&source, prefix.as_str()).await?;
    let leaving = Leaving::read(&source, prefix.as_str(), Carried::All).await?;
    drop(source);
    let under_way = match (last, &leaving) {
        (Some(last), leaving)
            if last.state == MoveState::Done
                && last.peer == sides.target_name
                && (leaving.is_none() || last.is_leaving) =>
        {
            return Ok(Moved::of(&last, MoveOutcome::AlreadyMoved));
        }
        (last, _) => last.filter(|last| last.state.is_open()),
    };
    if let Some(found) = &under_way
        && found.peer != sides.target_name
    {
        let (peer, since) = (found.peer.clone(), found.since.clone());
        return Err(MoveError::OtherTarget { peer, since }.into());
    }
    if let Some(found) = under_way.as_ref().filter(|found| found.state == MoveState::HandedOver) {
        return finish::finish(actor, sides, found, options.dry_run, &mut tell).await;
    }
    let leaving = leaving.ok_or_else(|| MoveError::NotBuilt(prefix.to_string()))?;
    let build_spec =
        check(actor, sides, prefix, &leaving, under_way.as_ref(), options.new_id).await?;
    if options.dry_run {
        let outcome = MoveOutcome::Possible;
        return Ok(Moved::new(prefix.as_str(), sides.target_name, leaving.agent, outcome));
    }
    let (out, coming) = begin(actor, sides, prefix, &leaving, options).await?;
    build(actor, sides, &build_spec, &coming, &leaving).await?;
    tell(Step::Built);
    let copied =
        hand_over::hand_over(actor, sides, &build_spec, &out, options.max_lock, &mut tell).await?;
    tell(Step::HandedOver);
    let done = finish::finish(actor, sides, &out, false, &mut tell).await?;
    Ok(Moved { tables: copied.tables, locked_ms: Some(copied.locked_ms), ..done })
}

/// Looks at both sides, and changes nothing.
async fn check(
    actor: &Actor,
    sides: Sides<'_>,
    prefix: &Prefix,
    leaving: &Leaving,
    under_way: Option<&Move>,
    new_id: bool,
) -> Result<BuildSpec, Error> {
    let (here, there) = (sides.source.templates()?, sides.target.templates()?);
    if here.checksum() != there.checksum() {
        let (source_set, target_set) = (here.named(), there.named());
        return Err(MoveError::OtherTemplates { source_set, target_set }.into());
    }
    require_version(prefix.as_str(), leaving, &here)?;
    let mut source = actor.client(sides.source).await?;
    let mut target = actor.client(sides.target).await?;
    require_owner(&target).await?;
    require_apart(&mut source, &target).await?;
    require_no_jobs(&source, prefix.as_str()).await?;
    require_all_rows(&source, leaving).await?;
    let own = under_way.map(|found| found.id.clone());
    let known = match &own {
        Some(id) => Move::find(&target, id).await?,
        None => None,
    };
    let id = match known.filter(|known| known.state.is_open()) {
        Some(known) => Some(known.agent),
        None => (!new_id).then_some(leaving.agent),
    };
    let own = own.unwrap_or_else(|| NOBODY.to_owned());
    let found = obstacles(&target, &leaving.carried, id, &own).await?;
    if !found.is_empty() {
        let (prefix, peer) = (prefix.to_string(), sides.target_name.to_owned());
        return Err(MoveError::Obstacles { prefix, peer, found }.into());
    }
    // Without the foreign key, which would keep others from `agents` while rows are copied.
    let retention = sides.target.config.deprovision.retention;
    let build_spec = BuildSpec::prepare(&mut target, there, Reference::Check, retention).await;
    Ok(build_spec?)
}

/// The id of no move.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// Refuses two names of one database. An advisory lock is known in its own database only.
async fn require_apart(source: &mut Client, target: &Client) -> Result<(), Error> {
    let doing = || query("compare the two databases");
    let key = fastrand::i64(..);
    let tx = postgres::begin(source).await.map_err(doing())?;
    let lock = "select pg_advisory_xact_lock($1)";
    tx.query_typed(lock, &[(&key, Type::INT8)]).await.map_err(doing())?;
    let asked = "select pg_try_advisory_xact_lock($1)";
    let rows = target.query_typed(asked, &[(&key, Type::INT8)]).await.map_err(doing())?;
    let is_free = rows.first().map(|row| row.try_get(0)).transpose().map_err(doing())?;
    tx.rollback().await.map_err(doing())?;
    if is_free.unwrap_or(false) { Ok(()) } else { Err(MoveError::SameDatabase.into()) }
}

/// What is built there is at the version of the templates.
fn require_version(prefix: &str, leaving: &Leaving, here: &Templates) -> Result<(), MoveError> {
    if leaving.version == here.version() {
        return Ok(());
    }
    let (prefix, version, wanted) = (prefix.to_owned(), leaving.version, here.version());
    Err(MoveError::OtherVersion { prefix, version, wanted })
}

async fn require_no_jobs(source: &Client, prefix: &str) -> Result<(), Error> {
    let open = open_jobs(source, prefix).await?;
    if open.is_empty() { Ok(()) } else { Err(MoveError::OpenJobs(open).into()) }
}

async fn require_all_rows(source: &Client, leaving: &Leaving) -> Result<(), Error> {
    let tables = read_layout(source, &leaving.tables, leaving.agent, None).await?;
    match tables.into_iter().find(|table| table.hides_rows) {
        Some(table) => Err(MoveError::HiddenRows(table.relation).into()),
        None => Ok(()),
    }
}

/// Has both sides note the move. What is under way goes on; a move that the target has given up is ended, and another begins.
async fn begin(
    actor: &Actor,
    sides: Sides<'_>,
    prefix: &Prefix,
    leaving: &Leaving,
    options: Options,
) -> Result<(Move, Move), Error> {
    let source = actor.client(sides.source).await?;
    let target = actor.client(sides.target).await?;
    let mut out = None;
    if let Some(last) = Move::last(&source, prefix.as_str()).await?
        && last.state.is_open()
    {
        match Move::find(&target, &last.id).await? {
            Some(known) if !known.state.is_open() => moving::take_back(&source, &last.id).await?,
            Some(_) | None => out = Some(last),
        }
    }
    let out = if let Some(out) = out {
        out
    } else {
        let (prefix, peer) = (prefix.as_str(), sides.target_name);
        let begun = Move::begin(&source, leaving.agent, prefix, peer, actor.name()).await?;
        begun.ok_or(MoveError::Swallowed)?
    };
    let coming = Coming {
        id: &out.id,
        agent: out.agent,
        prefix: &out.prefix,
        home: sides.source_name,
        is_copy: false,
    };
    let coming = reserve(&target, coming, options.new_id, actor.name()).await?;
    let coming = coming.ok_or(MoveError::Swallowed)?;
    Ok((out, coming))
}

async fn build(
    actor: &Actor,
    sides: Sides<'_>,
    build_spec: &BuildSpec,
    coming: &Move,
    leaving: &Leaving,
) -> Result<(), Error> {
    let mut target = actor.client(sides.target).await?;
    let tx = postgres::begin(&mut target).await.map_err(query("begin a transaction"))?;
    moving::build_for(tx.client(), &build_spec.expected_schema, coming, &leaving.carried).await?;
    tx.commit().await.map_err(query("build the tables"))?;
    Ok(())
}

impl Moved {
    fn new(prefix: &str, to: &str, id: i64, outcome: MoveOutcome) -> Self {
        Self {
            prefix: prefix.to_owned(),
            to: to.to_owned(),
            id,
            new_id: None,
            outcome,
            tables: Vec::new(),
            rows: None,
            locked_ms: None,
            job: None,
            end: None,
            converting: None,
        }
    }

    /// As the source has it in its record.
    fn of(source: &Move, outcome: MoveOutcome) -> Self {
        let new = Self::new(&source.prefix, &source.peer, source.agent, outcome);
        Self { rows: source.rows, job: source.job, ..new }
    }
}
