//! After the hand-over: the target takes over, and the source's tables go.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::error::MoveError;
use super::{MoveOutcome, Moved, Sides, Step};
use crate::agent::Reference;
use crate::operations::{Actor, Error};
use crate::postgres::{self, query};
use crate::provisioning::moving::{self, Move, MoveState};
use crate::queue::{Work, admin};
use crate::telemetry::ErrorReport;
use crate::templates::Templates;

/// How long a target that does not answer is tried: nobody takes the agent's writes meanwhile.
const PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_secs(1);

/// Has the target take over what the source has handed over, and lets the source's tables go to the trash.
pub(super) async fn finish(
    actor: &Actor,
    sides: Sides<'_>,
    out: &Move,
    dry_run: bool,
    tell: &mut impl FnMut(Step),
) -> Result<Moved, Error> {
    let source = actor.client(sides.source).await?;
    let out = Move::find(&source, &out.id).await?.ok_or(MoveError::Swallowed)?;
    drop(source);
    if dry_run {
        return Ok(Moved::of(&out, MoveOutcome::Possible));
    }
    let (started, mut said) = (Instant::now(), false);
    let (new_id, converting) = loop {
        match take_over(actor, sides, &out).await {
            Err(Error::Move(error)) => return Err(error.into()),
            Err(error) if started.elapsed() < PATIENCE => {
                if !said {
                    tell(Step::Retried(ErrorReport(&error).to_string()));
                }
                said = true;
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => {
                let (peer, source) = (sides.target_name.to_owned(), Box::new(error));
                return Err(MoveError::NotTakenOver { peer, source }.into());
            }
            Ok(taken) => break taken,
        }
    };
    let mut source = actor.client(sides.source).await?;
    let tx = postgres::begin(&mut source).await.map_err(query("begin a transaction"))?;
    if let Some(job) = moving::approve(tx.client(), &out.id, actor.name()).await? {
        return Err(MoveError::NotApproved(job).into());
    }
    tx.commit().await.map_err(query("approve the deletion"))?;
    Ok(Moved { new_id: Some(new_id), converting, ..Moved::of(&out, MoveOutcome::Moved) })
}

/// The agent's id there, and the job that gives it its foreign key.
async fn take_over(
    actor: &Actor,
    sides: Sides<'_>,
    out: &Move,
) -> Result<(i64, Option<i64>), Error> {
    let templates = sides.target.templates()?;
    let mut target = actor.client(sides.target).await?;
    let forgotten = || MoveError::Forgotten(sides.target_name.to_owned());
    let coming = Move::find(&target, &out.id).await?;
    let coming = coming.filter(|coming| !coming.is_source).ok_or_else(forgotten)?;
    if coming.state == MoveState::Done {
        return Ok((coming.agent, None));
    }
    if coming.state == MoveState::Aborted {
        return Err(MoveError::GivenUp(sides.target_name.to_owned()).into());
    }
    let copy = out.copy.as_deref().filter(|copy| coming.copy.as_deref() == Some(copy));
    let copy = copy.ok_or_else(forgotten)?;
    let tx = postgres::begin(&mut target).await.map_err(query("begin a transaction"))?;
    let converting = enter(actor, sides, tx.client(), &templates, &coming, copy).await?;
    tx.commit().await.map_err(query("take the agent over"))?;
    Ok((coming.agent, converting))
}

/// Has the agent be there, in a transaction that the caller opened. The job that gives it its foreign key.
pub(super) async fn enter(
    actor: &Actor,
    sides: Sides<'_>,
    there: &Client,
    templates: &Templates,
    coming: &Move,
    copy: &str,
) -> Result<Option<i64>, Error> {
    moving::take_over(there, templates, coming, copy).await?;
    if sides.target.config.reference != Reference::ForeignKey || !templates.has_foreign_key() {
        return Ok(None);
    }
    let work = Work::Convert { to: Reference::ForeignKey };
    let queued = admin::enqueue(there, work, &[coming.agent], None, actor.name()).await;
    Ok(queued.map_err(query("queue the foreign key"))?.first().copied())
}
