//! Giving a move or a copy up.

use deadpool_postgres::Object;
use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::Client;

use super::Sides;
use super::error::MoveError;
use crate::agent::Prefix;
use crate::operations::requested_job::require_owner;
use crate::operations::{Actor, Error};
use crate::postgres::{self, query};
use crate::provisioning::moving::{self, Carried, Leaving, Move, MoveState};
use crate::service::Instance;

/// A move or a copy that was given up.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Aborted {
    pub prefix: String,
    /// Where the agent did not go.
    pub to: String,
    /// Of the agent here. null: there is none.
    pub id: Option<i64>,
}

/// The name of the database that an agent is on its way to.
pub(crate) async fn under_way(source: &Instance, prefix: &Prefix) -> Result<String, Error> {
    let client = source.current().await?;
    let last = Move::last(&client, prefix.as_str()).await?;
    let open = last.filter(|last| last.state.is_open());
    Ok(open.ok_or_else(|| MoveError::NoMove(prefix.to_string()))?.peer)
}

/// Drops what was built on the target, and opens the source again if it was closed. Not once the target has taken over, and not where
/// it is not known whether the target has, unless somebody says that it `is_lost`.
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
    let mut target = match owner_of(actor, sides.target).await {
        Err(_) if is_lost => None,
        client => Some(client?),
    };
    let last = Move::last(&source, prefix.as_str()).await?;
    let open = last.filter(|last| last.state.is_open());
    let Some(out) = open else {
        let target = target.as_mut().ok_or_else(|| MoveError::NoMove(prefix.to_string()))?;
        return abort_left(&source, target, sides, prefix, is_lost).await;
    };
    if out.peer != sides.target_name {
        let (peer, since) = (out.peer, out.since);
        return Err(MoveError::OtherTarget { peer, since }.into());
    }
    let here = postgres::begin(&mut source).await.map_err(query("begin a transaction"))?;
    Move::lock(here.client(), &out.id, &["begun", "handed_over"]).await?;
    // Fails where the deletion here is under way, before the other side drops anything.
    moving::take_back(here.client(), &out.id).await?;
    let coming = match &target {
        Some(target) => Move::find(target, &out.id).await?.filter(|coming| !coming.is_source),
        None => None,
    };
    match (coming, &mut target) {
        (Some(coming), _) if coming.state == MoveState::Done => {
            return Err(MoveError::TooLate(sides.target_name.to_owned()).into());
        }
        (Some(coming), Some(target)) if coming.state.is_open() => {
            give_up(target, &coming.id).await?;
        }
        // Perhaps the settings name another database by now, and the one that was meant has the agent.
        (None, _) if out.state == MoveState::HandedOver && !is_lost => {
            return Err(MoveError::Forgotten(sides.target_name.to_owned()).into());
        }
        (Some(_) | None, _) => {}
    }
    here.commit().await.map_err(query("give the move up"))?;
    Ok(Aborted { prefix: prefix.to_string(), to: out.peer, id: Some(out.agent) })
}

/// Ends what the target has of a move that the source knows nothing of, or has given up: one of the two was set back. Where the source
/// has handed over and finished, these may be the only rows but those in its trash.
async fn abort_left(
    source: &Client,
    target: &mut Client,
    sides: Sides<'_>,
    prefix: &Prefix,
    is_lost: bool,
) -> Result<Aborted, Error> {
    let nothing = || MoveError::NoMove(prefix.to_string());
    let coming = Move::coming(target, sides.source_name, prefix.as_str(), false).await?;
    let coming = coming.ok_or_else(nothing)?;
    let out = Move::find(source, &coming.id).await?;
    if out.is_some_and(|out| out.state == MoveState::Done) && !is_lost {
        return Err(MoveError::SetBack(sides.target_name.to_owned()).into());
    }
    give_up(target, &coming.id).await?;
    let here = Leaving::read(source, prefix.as_str(), Carried::All).await?;
    let (to, id) = (sides.target_name.to_owned(), here.map(|here| here.agent));
    Ok(Aborted { prefix: prefix.to_string(), to, id })
}

/// Drops what was built on the target for a copy that was broken off.
pub(crate) async fn abort_copy(
    actor: &Actor,
    sides: Sides<'_>,
    prefix: &Prefix,
) -> Result<Aborted, Error> {
    let source = actor.client(sides.source).await?;
    let mut target = owner_of(actor, sides.target).await?;
    let begun = Move::coming(&target, sides.source_name, prefix.as_str(), true).await?;
    let coming = begun.ok_or_else(|| MoveError::NoCopy(prefix.to_string()))?;
    give_up(&mut target, &coming.id).await?;
    let here = Leaving::read(&source, prefix.as_str(), Carried::NoRoutes).await?;
    let (to, id) = (sides.target_name.to_owned(), here.map(|here| here.agent));
    Ok(Aborted { prefix: prefix.to_string(), to, id })
}

async fn owner_of(actor: &Actor, instance: &Instance) -> Result<Object, Error> {
    let client = actor.client(instance).await?;
    require_owner(&client).await?;
    Ok(client)
}

/// The target drops what it has built.
async fn give_up(target: &mut Client, id: &str) -> Result<(), Error> {
    let there = postgres::begin(target).await.map_err(query("begin a transaction"))?;
    moving::abort(there.client(), id).await?;
    Ok(there.commit().await.map_err(query("give the move up"))?)
}
