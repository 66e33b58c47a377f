//! Giving a move or a copy up.

use schemars::JsonSchema;
use serde::Serialize;

use super::Sides;
use super::error::MoveError;
use crate::agent::Prefix;
use crate::operations::requested_job::require_owner;
use crate::operations::{Actor, Error};
use crate::postgres::{self, query};
use crate::provisioning::moving::{self, Move, MoveState};
use crate::service::Instance;

/// A move or a copy that was given up.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Aborted {
    pub prefix: String,
    /// Where the agent did not go.
    pub to: String,
    pub id: i64,
}

/// The name of the database that an agent is on its way to.
pub(crate) async fn under_way(source: &Instance, prefix: &Prefix) -> Result<String, Error> {
    let client = source.current().await?;
    let last = Move::last(&client, prefix.as_str()).await?;
    let open = last.filter(|last| last.state.is_open());
    Ok(open.ok_or_else(|| MoveError::NoMove(prefix.to_string()))?.peer)
}

/// Drops what was built on the target, and opens the source again if it was closed. Not once the target has taken over, and not where
/// the target knows nothing of what was handed over to it, where it `is_lost`.
///
/// The source's record is locked first: no run of the move is at the hand-over meanwhile. The target gives up for good before the
/// source opens.
pub(crate) async fn abort(
    actor: &Actor,
    sides: Sides<'_>,
    prefix: &Prefix,
    is_lost: bool,
) -> Result<Aborted, Error> {
    let mut source = actor.client(sides.source).await?;
    require_owner(&source).await?;
    let last = Move::last(&source, prefix.as_str()).await?;
    let open = last.filter(|last| last.state.is_open());
    let out = open.ok_or_else(|| MoveError::NoMove(prefix.to_string()))?;
    if out.peer != sides.target_name {
        let (peer, since) = (out.peer, out.since);
        return Err(MoveError::OtherTarget { peer, since }.into());
    }
    let here = postgres::begin(&mut source).await.map_err(query("begin a transaction"))?;
    Move::lock(here.client(), &out.id, &["begun", "handed_over"]).await?;
    // Fails where the deletion here is under way, before the other side drops anything.
    moving::take_back(here.client(), &out.id).await?;
    let mut target = actor.client(sides.target).await?;
    require_owner(&target).await?;
    let coming = Move::find(&target, &out.id).await?;
    match coming.filter(|coming| !coming.is_source) {
        Some(coming) if coming.state == MoveState::Done => {
            return Err(MoveError::TooLate(sides.target_name.to_owned()).into());
        }
        Some(coming) if coming.state.is_open() => {
            let there = postgres::begin(&mut target).await.map_err(query("begin a transaction"))?;
            moving::abort(there.client(), &out.id).await?;
            there.commit().await.map_err(query("give the move up"))?;
        }
        // Perhaps the settings name another database by now, and the one that was meant has the agent.
        None if out.state == MoveState::HandedOver && !is_lost => {
            return Err(MoveError::Forgotten(sides.target_name.to_owned()).into());
        }
        Some(_) | None => {}
    }
    here.commit().await.map_err(query("give the move up"))?;
    Ok(Aborted { prefix: prefix.to_string(), to: out.peer, id: out.agent })
}

/// Drops what was built on the target for a copy that was broken off.
pub(crate) async fn abort_copy(
    actor: &Actor,
    sides: Sides<'_>,
    prefix: &Prefix,
) -> Result<Aborted, Error> {
    let mut target = actor.client(sides.target).await?;
    require_owner(&target).await?;
    let begun = Move::copy_from(&target, sides.source_name, prefix.as_str()).await?;
    let coming = begun.ok_or_else(|| MoveError::NoCopy(prefix.to_string()))?;
    let there = postgres::begin(&mut target).await.map_err(query("begin a transaction"))?;
    moving::abort(there.client(), &coming.id).await?;
    there.commit().await.map_err(query("give the copy up"))?;
    Ok(Aborted { prefix: prefix.to_string(), to: sides.target_name.to_owned(), id: coming.agent })
}
