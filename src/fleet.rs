//! All agents at once: how they compare with what the templates make.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::agent::{self, Built, Drift, Manifest};
use crate::db::{self, Db};
use crate::retry_policy::{RetryPolicy, retry_policy};

/// Connections at a time: the work is the server's.
pub const CONNECTIONS: usize = 4;

/// Agents per query.
const CHUNK: usize = 125;

/// Agents per connection: a server process keeps a cache of every table it has looked at, and what is
/// left to the last one is looked at by it alone.
const SESSION: usize = 250;

/// Tries for a query that met a table being built or dropped.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(200);
/// Where others use the tables that all agents share.
const LOCK_PAUSE: Duration = Duration::from_secs(1);

/// Why the fleet could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no connection.
    #[error(transparent)]
    Db(#[from] db::Error),
    /// The catalog or the registry cannot be read.
    #[error(transparent)]
    Agent(#[from] agent::Error),
}

/// An agent that is not as it should be.
#[derive(Debug)]
pub struct Drifted {
    /// Which.
    pub built: Built,
    /// In what; never empty.
    pub drift: Vec<Drift>,
}

/// What has no counterpart.
#[derive(Debug, Default)]
pub struct Orphans {
    /// Agents without tables, and without a job that will build them: prefix and id.
    pub without_tables: Vec<(String, i64)>,
    /// Registered tables without an agent, and without a job that will drop them: prefix and id.
    pub without_agent: Vec<(String, i64)>,
    /// Tables that look like an agent's and are nobody's.
    pub unmanaged: Vec<String>,
}

/// Compares agents with their template versions; those that differ, by prefix.
///
/// `seen` is told how many have been looked at. Who differs is looked at twice, so that an agent
/// that is being changed or dropped meanwhile does not count.
pub async fn verify(
    db: &Db,
    manifest: &Manifest,
    agents: Vec<Built>,
    seen: impl Fn(usize),
) -> Result<Vec<Drifted>, Error> {
    let suspects = look(db, manifest, agents, &seen).await?;
    if suspects.is_empty() {
        return Ok(suspects);
    }
    let prefixes: Vec<&str> = suspects.iter().map(|d| d.built.agent.prefix.as_str()).collect();
    let mut again = Built::read(&*db.get().await?, Some(&prefixes)).await?;
    // Whoever has the prefix by now was not looked at before.
    let ids: HashSet<_> = suspects.iter().map(|drifted| drifted.built.agent.id).collect();
    again.retain(|built| ids.contains(&built.agent.id));
    let mut drifted = look(db, manifest, again, &|_| {}).await?;
    drifted.sort_by(|a, b| a.built.agent.prefix.as_str().cmp(b.built.agent.prefix.as_str()));
    Ok(drifted)
}

/// The same for agents that are not registered yet, each looked at once; in no order.
pub async fn compare(
    db: &Db,
    manifest: &Manifest,
    agents: Vec<Built>,
) -> Result<Vec<Drifted>, Error> {
    look(db, manifest, agents, &|_| {}).await
}

async fn look(
    db: &Db,
    manifest: &Manifest,
    agents: Vec<Built>,
    seen: &impl Fn(usize),
) -> Result<Vec<Drifted>, Error> {
    let sessions: Vec<Vec<Built>> = agents.chunks(SESSION).map(<[Built]>::to_vec).collect();
    let looked = stream::iter(sessions).map(|session| async move {
        let mut client = db.get().await?;
        let mut drifted = Vec::new();
        for chunk in session.chunks(CHUNK) {
            let drift = patiently(&mut client, manifest, chunk).await?;
            let differing = chunk.iter().zip(drift).filter(|(_, drift)| !drift.is_empty());
            drifted.extend(differing.map(|(built, drift)| Drifted { built: built.clone(), drift }));
            seen(chunk.len());
        }
        Db::close(client);
        Ok::<_, Error>(drifted)
    });
    let drifted: Vec<Vec<Drifted>> = looked.buffer_unordered(CONNECTIONS).try_collect().await?;
    Ok(drifted.into_iter().flatten().collect())
}

/// A table that is dropped between two steps of one query makes the query fail, not the fleet.
async fn patiently(
    client: &mut Client,
    manifest: &Manifest,
    chunk: &[Built],
) -> Result<Vec<Vec<Drift>>, agent::Error> {
    let failed = |source| agent::Error::Query { doing: "compare the agents", source };
    let mut tries = 1;
    loop {
        let tx = db::begin(client).await.map_err(failed)?;
        let compared = agent::drift(tx.client(), manifest, chunk).await;
        tx.rollback().await.map_err(failed)?;
        let pause = match compared {
            Err(error) if tries < TRIES && error.refusal().is_some() => LOCK_PAUSE,
            Err(error) if tries < TRIES && passes(&error) => PAUSE,
            done => return done,
        };
        tries += 1;
        tokio::time::sleep(pause).await;
    }
}

fn passes(error: &agent::Error) -> bool {
    if matches!(error, agent::Error::Vanished) {
        return true;
    }
    error.code().is_some_and(|code| {
        // 42P01, 42704: the name is gone. (XX000, "cache lookup failed", is retried anyway.)
        matches!(code.code(), "42P01" | "42704") || retry_policy(Some(code)) != RetryPolicy::Fail
    })
}

/// Looks for what has no counterpart.
pub async fn orphans(client: &Client, manifest: &Manifest) -> Result<Orphans, agent::Error> {
    let version = manifest.templates().version();
    let prefix = "zz".parse()?;
    let suffix = |name: &String| name.strip_prefix("zz").map(ToOwned::to_owned);
    let suffixes: Vec<_> = manifest.tables(&prefix, version).iter().filter_map(suffix).collect();
    let sql = include_str!("../sql/queries/fleet_orphans.sql");
    let rows = client.query_typed(sql, &[(&suffixes, Type::TEXT_ARRAY)]).await;
    let failed = |source| agent::Error::Query { doing: "look for orphans", source };
    let mut orphans = Orphans::default();
    for row in rows.map_err(failed)? {
        let name: String = row.get("name");
        match row.get("what") {
            "without_tables" => orphans.without_tables.push((name, row.get("agent_id"))),
            "without_agent" => orphans.without_agent.push((name, row.get("agent_id"))),
            _ => orphans.unmanaged.push(name),
        }
    }
    Ok(orphans)
}

/// How many agents are at which template version.
pub fn versions(agents: &[Built]) -> BTreeMap<i32, usize> {
    let mut versions = BTreeMap::new();
    for built in agents {
        *versions.entry(built.version).or_default() += 1;
    }
    versions
}
