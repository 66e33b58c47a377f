//! A comparison of all agents that leaves out those of which nothing has changed since they were found right.

use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::compare_agents::{Differing, Drifted, Error, Pace, differing};
use crate::agent::AgentId;
use crate::postgres::{self, Db, query};
use crate::provisioning::{
    self, Fingerprints, FoundDrift, NewDrift, RegisteredAgent, Subject, versions,
};
use crate::telemetry::ErrorReport;
use crate::templates::{ExpectedSchema, Templates};

/// Tables whose sequences are looked at on one connection, which keeps a cache of every sequence.
const SEQUENCES_OF: usize = 10_000;

/// Which agents are compared, and how.
#[derive(Debug)]
pub(crate) struct Scope {
    /// As the registry has them. They are compared in any case. `None`: all agents.
    pub(crate) named: Option<Vec<RegisteredAgent>>,
    /// Those of which nothing has changed are compared, too.
    pub(crate) full: bool,
    pub(crate) pace: Pace,
}

/// What a comparison came to.
#[derive(Debug)]
pub(crate) struct Verified {
    /// By prefix.
    pub(crate) drifted: Vec<Drifted>,
    /// How many agents were compared.
    pub(crate) compared: usize,
    /// How many were left out.
    pub(crate) unchanged: usize,
    /// When the first of these was compared.
    pub(crate) unchanged_since: Option<String>,
    /// Those that were not known to differ before.
    pub(crate) new_drift: Vec<NewDrift>,
    /// In what instances that run make something else of an agent. Then nothing was recorded.
    pub(crate) differing: Vec<postgres::Difference>,
    /// How many are at which template version.
    pub(crate) versions: BTreeMap<i32, usize>,
}

/// Compares the agents in scope, and records what it finds.
///
/// Agents that are known to differ are compared each time. What cannot be recorded is compared again next time.
pub(crate) async fn verify(
    db: &Db,
    expected_schema: &ExpectedSchema,
    scope: Scope,
) -> Result<Verified, Error> {
    let (mut fingerprints, mut unchanged) = (Fingerprints::default(), HashSet::new());
    let changed = if let Some(named) = scope.named {
        named
    } else {
        let seed = provisioning::seed(&*db.get().await?).await?;
        fingerprints = read_fingerprints(db, expected_schema, seed, scope.pace).await?;
        if !scope.full {
            unchanged = fingerprints.unchanged().collect();
            let behind = behind(db, &unchanged).await?;
            unchanged.retain(|id| !behind.contains(id));
        }
        // After the fingerprints: what is read after them may be newer, and not older.
        changed(db, &fingerprints, &unchanged).await?
    };
    let of_unchanged = unchanged.iter().filter_map(|id| fingerprints.version(*id));
    let versions = versions(changed.iter().map(|built| built.version).chain(of_unchanged));
    let since = unchanged.iter().filter_map(|id| fingerprints.unchanged_since(*id));
    let unchanged_since = since.min().map(ToOwned::to_owned);
    let compared: Vec<AgentId> = changed.iter().map(|built| built.agent.id).collect();
    let Differing { drifted, wavering } =
        differing(db, expected_schema, changed, scope.pace).await?;
    if !fingerprints.is_empty() && drifted.len() < compared.len() {
        let seed = fingerprints.seed();
        let again = read_fingerprints(db, expected_schema, seed, scope.pace).await?;
        fingerprints = fingerprints.confirmed(&again, &wavering);
    }
    let recorded = record(db, expected_schema, &fingerprints, &compared, &drifted).await;
    let (new_drift, differing) = recorded.unwrap_or_else(|error| {
        let error = ErrorReport(&error);
        tracing::warn!(%error, "cannot record which agents are as they should be");
        Default::default()
    });
    let (compared, unchanged) = (compared.len(), unchanged.len());
    Ok(Verified { drifted, compared, unchanged, unchanged_since, new_drift, differing, versions })
}

/// Reads the fingerprints of all agents.
async fn read_fingerprints(
    db: &Db,
    expected_schema: &ExpectedSchema,
    seed: i64,
    pace: Pace,
) -> Result<Fingerprints, Error> {
    let failed = |source| provisioning::Error::from(query("read the agents' fingerprints")(source));
    let read = stream::iter(Subject::ALL).map(|subject| async move {
        let begun = Instant::now();
        let mut client = db.get().await?;
        let tx = postgres::begin(&mut client).await.map_err(failed)?;
        let found = subject.read(tx.client(), seed).await?;
        tx.rollback().await.map_err(failed)?;
        drop(client);
        tokio::time::sleep(pace.rest(begun.elapsed())).await;
        Ok::<_, Error>(found)
    });
    let found: Vec<_> = read.buffer_unordered(pace.connections()).try_collect().await?;
    let begun = Instant::now();
    let mut client = db.get().await?;
    let tx = postgres::begin(&mut client).await.map_err(failed)?;
    let mut fingerprints = Fingerprints::read(tx.client(), seed, expected_schema, found).await?;
    let is_open = |id: &AgentId| fingerprints.unchanged_since(*id).is_none();
    let open: Vec<AgentId> = fingerprints.ids().filter(is_open).collect();
    if !open.is_empty() {
        fingerprints.add_uses(tx.client(), &open).await?;
    }
    tx.rollback().await.map_err(failed)?;
    drop(client);
    tokio::time::sleep(pace.rest(begun.elapsed())).await;
    Ok(fingerprints)
}

/// The agents that are not among the unchanged ones, as the registry has them.
async fn changed(
    db: &Db,
    fingerprints: &Fingerprints,
    unchanged: &HashSet<AgentId>,
) -> Result<Vec<RegisteredAgent>, Error> {
    let client = db.get().await?;
    if unchanged.is_empty() {
        return Ok(RegisteredAgent::read(&client, None).await?);
    }
    let changed = fingerprints.ids().filter(|id| !unchanged.contains(id));
    let prefixes: Vec<&str> = changed.filter_map(|id| fingerprints.prefix(id)).collect();
    if prefixes.is_empty() {
        return Ok(Vec::new());
    }
    let mut changed = RegisteredAgent::read(&client, Some(&prefixes)).await?;
    // Whoever has the prefix by now was not looked at before.
    changed.retain(|built| !unchanged.contains(&built.agent.id));
    Ok(changed)
}

async fn behind(db: &Db, agents: &HashSet<AgentId>) -> Result<HashSet<AgentId>, Error> {
    let failed = |source| provisioning::Error::from(query("look at sequences")(source));
    let mut filled = provisioning::filled(&*db.get().await?).await?;
    filled.retain(|(id, _)| agents.contains(id));
    let mut behind = HashSet::new();
    for tables in filled.chunks(SEQUENCES_OF) {
        let mut client = db.get().await?;
        let tx = postgres::begin(&mut client).await.map_err(failed)?;
        behind.extend(provisioning::behind(tx.client(), tables).await?);
        tx.rollback().await.map_err(failed)?;
        Db::close(client);
    }
    Ok(behind)
}

/// Records nothing while an instance makes something else of an agent: its findings would be others.
async fn record(
    db: &Db,
    expected_schema: &ExpectedSchema,
    fingerprints: &Fingerprints,
    compared: &[AgentId],
    drifted: &[Drifted],
) -> Result<(Vec<NewDrift>, Vec<postgres::Difference>), Error> {
    if compared.is_empty() {
        return Ok(Default::default());
    }
    let client = db.get().await?;
    let differing = differing_instances(&client, expected_schema.templates()).await?;
    if !differing.is_empty() {
        return Ok((Vec::new(), differing));
    }
    let drifted: Vec<FoundDrift> =
        drifted.iter().map(|it| FoundDrift::of(&it.built, &it.drift)).collect();
    let differs: HashSet<AgentId> = drifted.iter().map(|found| found.agent).collect();
    let right: Vec<_> = compared.iter().filter(|id| !differs.contains(id)).copied().collect();
    Ok((fingerprints.record(&client, &right, &drifted).await?, differing))
}

async fn differing_instances(
    client: &Client,
    templates: &Templates,
) -> Result<Vec<postgres::Difference>, provisioning::Error> {
    let settings = serde_json::json!(BTreeMap::from(templates.settings())).to_string();
    let sql = "select setting, own, other, host, pid \
               from provisioning.differing_instances(null, $1::jsonb)";
    let rows = client.query_typed(sql, &[(&settings, Type::TEXT)]).await;
    let rows = rows.map_err(query("look for instances that differ"))?;
    let difference = |row: &Row| postgres::Difference {
        setting: row.get("setting"),
        own: row.get("own"),
        other: row.get("other"),
        host: row.get("host"),
        pid: row.get("pid"),
    };
    Ok(rows.iter().map(difference).collect())
}
