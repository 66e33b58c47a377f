//! Making good what went missing from an agent's tables, in a transaction that the caller opened.

use tokio_postgres::Client;

use super::built::{self, Built};
use super::drift::{Change, Drift, headlines};
use super::error::Error;
use super::mend::{Mend, mend};
use super::object::{Kind, Object};
use super::provision::{Registered, apply, taken};
use super::reshape::is_unchecked;
use super::script::Script;
use super::shared_lock::{lock, outside, require_turn};
use super::{Agent, Blueprint, Outcome, Prefix, keys};

/// Brings an agent back to what its template version makes, see [`mend`], and gives it back the foreign keys that a
/// deletion has taken off. No row is lost; what cannot be mended is logged, and makes this `Drifted`. An agent
/// without tables is left to its provision.
///
/// A foreign key to a table that all agents share is made without a check of the rows, for the table is locked until
/// the commit. That is `Unfinished`, and the next call checks them.
pub async fn repair(
    client: &Client,
    blueprint: &Blueprint,
    agent: &Agent,
    registered: Registered,
    force: bool,
) -> Result<Outcome, Error> {
    if registered != Registered::This {
        return Ok(Outcome::Superseded);
    }
    let (version, drift) = look(client, blueprint, agent).await?;
    if drift.is_empty() {
        keys::forget(client, agent.id).await?;
        return Ok(Outcome::Unchanged);
    }
    let known = unchecked(&agent.prefix, &drift);
    let new = missing_tables(&drift);
    let in_the_way = taken(client, &new).await?;
    if !in_the_way.is_empty() {
        return Err(Error::InTheWay(in_the_way));
    }
    let Mend { statements, keys, .. } = mend(&agent.prefix, &drift, force);
    if let Some(keys) = &keys {
        require_turn(client, keys.mode).await?;
    }
    let mut mended = run(client, &statements).await?;
    built::register(client, &blueprint.manifest, agent, version).await?;
    if let Some(keys) = &keys {
        lock(client, keys.mode, &keys.shared, &keys.own).await?;
        mended |= run(client, &keys.statements).await?;
    }
    keys::forget(client, agent.id).await?;
    let (_, left) = look(client, blueprint, agent).await?;
    let unfinished = unchecked(&agent.prefix, &left).iter().any(|key| !known.contains(key));
    // What the database grants by default on a new table is not what the templates grant.
    let opened = |drift: &Drift| {
        drift.object.kind == Kind::Grant
            && new.iter().any(|table| drift.object.relation.contains(&format!(".{table}")))
    };
    let (open, left): (Vec<_>, Vec<_>) = left.into_iter().partition(opened);
    let closed = run(client, &mend(&agent.prefix, &open, true).statements).await?;
    if unfinished {
        return Ok(Outcome::Unfinished);
    }
    for Drift { object, change } in headlines(&left) {
        let (kind, object) = (object.kind.as_str(), object.to_string());
        if let Change::Removed { obstacle, statement } = change {
            tracing::warn!(
                agent.prefix = %agent.prefix, kind, object, obstacle, by_hand = statement,
                "left as it is"
            );
            continue;
        }
        tracing::warn!(agent.prefix = %agent.prefix, kind, object, ?change, "left as it is");
    }
    let mended = mended || closed;
    Ok(if left.is_empty() { Outcome::Repaired } else { Outcome::Drifted { mended } })
}

/// The agent's template version, and how it differs from that.
async fn look(
    client: &Client,
    blueprint: &Blueprint,
    agent: &Agent,
) -> Result<(i32, Vec<Drift>), Error> {
    let built = Built::read(client, Some(&[agent.prefix.as_str()])).await?;
    let version = built.first().map_or(0, |built| built.version);
    let drift = built::drift(client, &blueprint.manifest, &built).await?;
    Ok((version, drift.into_iter().flatten().collect()))
}

/// The foreign keys to tables outside that are there and were not checked.
fn unchecked(prefix: &Prefix, drift: &[Drift]) -> Vec<Object> {
    let is_outside = |key: &Object| !outside(&key.definition, prefix).is_empty();
    let key = |Drift { object, change }: &Drift| match change {
        Change::Differs { found } if is_unchecked(object, found) && is_outside(object) => {
            Some(object.clone())
        }
        Change::Differs { .. } | Change::Missing | Change::Removed { .. } | Change::Extra => None,
    };
    drift.iter().filter_map(key).collect()
}

/// Whether there is any.
async fn run(client: &Client, statements: &[String]) -> Result<bool, Error> {
    if statements.is_empty() {
        return Ok(false);
    }
    apply(client, &Script::of(statements.join(";\n"))).await?;
    Ok(true)
}

/// Unqualified, as the registry has them.
fn missing_tables(drift: &[Drift]) -> Vec<String> {
    let missing =
        |drift: &&Drift| drift.object.kind == Kind::Table && drift.change == Change::Missing;
    let name = |drift: &Drift| {
        drift.object.relation.rsplit('.').next().unwrap_or_default().trim_matches('"').to_owned()
    };
    drift.iter().filter(missing).map(name).collect()
}
