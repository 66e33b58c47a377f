//! A comparison of all agents that leaves out those of which nothing has changed since they were found right.

use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::compare_agents::{Drifted, Error, Pace, differing};
use crate::agent::AgentId;
use crate::postgres::{self, Db, query};
use crate::provisioning::{
    self, Fingerprints, FoundDrift, NewDrift, RegisteredAgent, Surroundings,
};
use crate::telemetry::ErrorReport;
use crate::templates::{ExpectedSchema, Templates};

/// Agents whose fingerprints a statement reads.
const FINGERPRINTS_OF: usize = 500;

/// Agents whose sequences are looked at on one connection, which keeps a cache of every sequence.
const SEQUENCES_OF: usize = 2500;

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
    let (fingerprints, agents) = if let Some(named) = scope.named {
        (Fingerprints::default(), named)
    } else {
        // First: what is read after it may be newer, and not older.
        let fingerprints = fingerprints(db, expected_schema, scope.pace).await?;
        (fingerprints, RegisteredAgent::read(&*db.get().await?, None).await?)
    };
    let mut versions = BTreeMap::new();
    for built in &agents {
        *versions.entry(built.version).or_default() += 1;
    }
    let since = |built: &RegisteredAgent| fingerprints.unchanged_since(built.agent.id);
    let (mut unchanged, mut changed): (Vec<_>, Vec<_>) =
        agents.into_iter().partition(|built| !scope.full && since(built).is_some());
    let behind = behind(db, &unchanged).await?;
    changed.extend(unchanged.extract_if(.., |built| behind.contains(&built.agent.id)));
    let unchanged_since = unchanged.iter().filter_map(since).min().map(ToOwned::to_owned);
    let compared: Vec<AgentId> = changed.iter().map(|built| built.agent.id).collect();
    let drifted = differing(db, expected_schema, changed, scope.pace).await?;
    let recorded = record(db, expected_schema, &fingerprints, &compared, &drifted).await;
    let (new_drift, differing) = recorded.unwrap_or_else(|error| {
        let error = ErrorReport(&error);
        tracing::warn!(%error, "cannot record which agents are as they should be");
        Default::default()
    });
    let (compared, unchanged) = (compared.len(), unchanged.len());
    Ok(Verified { drifted, compared, unchanged, unchanged_since, new_drift, differing, versions })
}

async fn fingerprints(
    db: &Db,
    expected_schema: &ExpectedSchema,
    pace: Pace,
) -> Result<Fingerprints, Error> {
    let failed = |source| provisioning::Error::from(query("read the agents' fingerprints")(source));
    let mut client = db.get().await?;
    let mut surroundings = Surroundings::begin(&client, &expected_schema.digest()).await?;
    let mut more = true;
    while more {
        let begun = Instant::now();
        let tx = postgres::begin(&mut client).await.map_err(failed)?;
        more = surroundings.read_on(tx.client()).await?;
        tx.rollback().await.map_err(failed)?;
        tokio::time::sleep(pace.rest(begun.elapsed())).await;
    }
    let ids = "select agent_id from provisioning.agents order by agent_id";
    let ids = client.query_typed(ids, &[]).await.map_err(failed)?;
    drop(client);
    let ids: Vec<AgentId> = ids.iter().map(|row| AgentId(row.get(0))).collect();
    let chunks: Vec<Vec<AgentId>> = ids.chunks(FINGERPRINTS_OF).map(<[AgentId]>::to_vec).collect();
    let surroundings = &surroundings;
    let read = stream::iter(chunks).map(|ids| async move {
        let begun = Instant::now();
        let mut client = db.get().await?;
        let tx = postgres::begin(&mut client).await.map_err(failed)?;
        let fingerprints = surroundings.fingerprints(tx.client(), &ids).await?;
        tx.rollback().await.map_err(failed)?;
        drop(client);
        tokio::time::sleep(pace.rest(begun.elapsed())).await;
        Ok::<_, Error>(fingerprints)
    });
    let read: Vec<Fingerprints> = read.buffer_unordered(pace.connections()).try_collect().await?;
    Ok(Fingerprints::together(read))
}

async fn behind(db: &Db, agents: &[RegisteredAgent]) -> Result<HashSet<AgentId>, Error> {
    let failed = |source| provisioning::Error::from(query("look at sequences")(source));
    let mut behind = HashSet::new();
    for agents in agents.chunks(SEQUENCES_OF) {
        let mut client = db.get().await?;
        let tx = postgres::begin(&mut client).await.map_err(failed)?;
        behind.extend(provisioning::behind(tx.client(), agents).await?);
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
        drifted.iter().map(|it| FoundDrift::of(&it.built.agent, &it.drift)).collect();
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
