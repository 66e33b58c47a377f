//! Which agents are as they were when they were last found right.
//!
//! A fingerprint stands for every row of the catalog that an agent's facts are read from, and for every name in other rows that
//! its definitions may contain. Fingerprints are read before the facts are, and again afterwards. One that is another by then is
//! not recorded. So an agent may be compared once too often, and never once too seldom. There are exceptions, for a day at most:
//!
//! - what becomes different, right and different again in the course of one comparison,
//! - what `fingerprints_relations.sql` says of xids and oids,
//! - rows of the catalog that a superuser writes, where no statement does,
//! - names of another agent's things in constants of which the server records no dependency, such as `'{x}'::regclass[]`.
//!
//! A few statements read whole catalogs, each once: to find the rows of 10,000 agents by index takes ten times as long.

use std::collections::{HashMap, HashSet};

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::compare::positions;
use super::error::{Error, query};
use super::registry::RegisteredAgent;
use crate::agent::{Agent, AgentId};
use crate::schema::{Difference, headlines};
use crate::templates::ExpectedSchema;

/// Agents that a statement writes.
const RECORDED: usize = 1_000;

/// Rows of the catalog that were looked at: their number, and their hashes put together.
#[derive(Clone, Copy, Debug, Default)]
struct Rows {
    count: i64,
    hash: i64,
}

/// What is looked at by a statement of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject {
    /// Tables, indexes and sequences.
    Relations,
    /// Columns, constraints, and what else hangs on a table.
    Parts,
    Types,
}

/// What a statement has found: by agent, and of what belongs to none.
#[derive(Debug, Default)]
pub(crate) struct Found {
    agents: HashMap<AgentId, Rows>,
    others: Rows,
}

/// What is known of a registered agent, and of its last comparison.
#[derive(Debug)]
struct Registered {
    prefix: String,
    version: i32,
    /// Of the rows that are the agent's own, and of the names that all agents have in common.
    fingerprint: String,
    /// What this role has recorded, if it counts.
    recorded: Option<Recorded>,
}

#[derive(Debug)]
struct Recorded {
    fingerprint: String,
    at: String,
}

/// The fingerprints of registered agents; or none, where nobody asked for them.
#[derive(Debug, Default)]
pub(crate) struct Fingerprints {
    agents: HashMap<AgentId, Registered>,
    /// Of the hashes.
    seed: i64,
}

/// An agent that differs.
#[derive(Debug)]
pub(crate) struct FoundDrift {
    pub(crate) agent: AgentId,
    /// Of its row in the registry, when it was compared. `None`: this transaction has changed the agent.
    row_version: Option<String>,
    /// In so many ways.
    pub(crate) differences: i32,
    /// Some of them, as a JSON array.
    pub(crate) found: String,
}

/// Differences of an agent that are told: the rest is counted.
const TOLD: usize = 20;

impl FoundDrift {
    /// What a comparison has found. It counts while the row in the registry is as it was.
    pub(crate) fn of(built: &RegisteredAgent, drift: &[Difference]) -> Self {
        let row_version = Some(built.row_version.clone());
        Self { row_version, ..Self::by_job(&built.agent, drift) }
    }

    /// The same words for the same difference of any agent.
    fn by_job(agent: &Agent, drift: &[Difference]) -> Self {
        let told = headlines(drift).into_iter().take(TOLD).map(|difference| {
            let Difference { object, change } = difference;
            let (kind, object) = (object.kind.as_str(), object.to_string());
            let object = without_prefix(&object, agent.prefix.as_str());
            serde_json::json!({ "change": change.name(), "kind": kind, "object": object })
        });
        Self {
            agent: agent.id,
            row_version: None,
            differences: i32::try_from(drift.len()).unwrap_or(i32::MAX),
            found: told.collect::<serde_json::Value>().to_string(),
        }
    }
}

/// With `{prefix}` in place of an agent's own, where a name begins with it.
fn without_prefix(text: &str, prefix: &str) -> String {
    let (mut general, head) = (String::new(), format!("{prefix}_"));
    let mut parts = text.split(&head);
    general.extend(parts.next());
    for part in parts {
        let is_middle = general.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        general.push_str(if is_middle { prefix } else { "{prefix}" });
        general.push('_');
        general.push_str(part);
    }
    general
}

/// Records that an agent was compared by a job, which has changed it: what was known of it before is over.
pub(crate) async fn record_drift(
    client: &Client,
    agent: &Agent,
    left: &[Difference],
) -> Result<(), Error> {
    // Another version of the row, so that what a comparison has found of the agent before this is not recorded after it.
    let sql =
        "update provisioning.agents set template_version = template_version where agent_id = $1";
    let changed = client.execute_typed(sql, &[(&agent.id.0, Type::INT8)]).await;
    changed.map_err(query("record what was compared"))?;
    let none = Fingerprints::default();
    if left.is_empty() {
        none.record(client, &[agent.id], &[]).await?;
    } else {
        none.record(client, &[], &[FoundDrift::by_job(agent, left)]).await?;
    }
    Ok(())
}

/// An agent that was not known to differ.
#[derive(Debug)]
pub(crate) struct NewDrift {
    pub(crate) prefix: String,
    pub(crate) differences: i32,
}

/// The seed of the hashes. Nobody else can make other rows with the same fingerprint.
pub(crate) async fn seed(client: &Client) -> Result<i64, Error> {
    let sql = "select coalesce(min(v.seed), hashtextextended(gen_random_uuid()::text, 0)) \
               from provisioning.verified_agents v where v.verified_by = current_user";
    let rows = client.query_typed(sql, &[]).await.map_err(failed())?;
    Ok(rows.first().map(|row| row.get(0)).unwrap_or_default())
}

impl Subject {
    pub(crate) const ALL: [Self; 3] = [Self::Relations, Self::Parts, Self::Types];

    /// Reads whole catalogs. Needs an open transaction.
    pub(crate) async fn read(self, client: &Client, seed: i64) -> Result<Found, Error> {
        let sql = match self {
            Self::Relations => include_str!("../../sql/provisioning/fingerprints_relations.sql"),
            Self::Parts => include_str!("../../sql/provisioning/fingerprints_parts.sql"),
            Self::Types => include_str!("../../sql/provisioning/fingerprints_types.sql"),
        };
        // Several are read at once. Without hashes a join of two whole catalogs would never end.
        let settings = "set local max_parallel_workers_per_gather = 0; \
                        set local enable_seqscan = on; set local enable_hashjoin = on";
        client.batch_execute(settings).await.map_err(failed())?;
        let rows = client.query_typed(sql, &[(&seed, Type::INT8)]).await.map_err(failed())?;
        let mut found = Found::default();
        for row in &rows {
            match row.get::<_, Option<i64>>("agent_id") {
                Some(id) => found.agents.entry(AgentId(id)).or_default().add(Rows::of(row)),
                None => found.others.add(Rows::of(row)),
            }
        }
        Ok(found)
    }
}

impl Rows {
    fn of(row: &Row) -> Self {
        Self { count: row.get("count"), hash: row.get("hash") }
    }

    fn add(&mut self, more: Self) {
        self.count += more.count;
        self.hash ^= more.hash;
    }
}

impl Fingerprints {
    /// Of all registered agents. `found` is what [`Subject::read`] has read with this seed. Needs an open transaction.
    pub(crate) async fn read(
        client: &Client,
        seed: i64,
        expected_schema: &ExpectedSchema,
        found: Vec<Found>,
    ) -> Result<Self, Error> {
        let (digest, names_roles) = (expected_schema.digest(), expected_schema.names_roles());
        let sql = include_str!("../../sql/provisioning/fingerprints_names.sql");
        let parameters: [(&(dyn ToSql + Sync), Type); 3] =
            [(&seed, Type::INT8), (&digest, Type::TEXT), (&names_roles, Type::BOOL)];
        let rows = client.query_typed(sql, &parameters).await.map_err(failed())?;
        let digest: String = rows.first().map(|row| row.get(0)).unwrap_or_default();
        let mut others = Rows::default();
        for found in &found {
            others.add(found.others);
        }
        let surroundings = format!("{} {} {digest}", others.count, others.hash);
        let sql = include_str!("../../sql/provisioning/fingerprints_agents.sql");
        let rows = client.query_typed(sql, &[(&seed, Type::INT8)]).await.map_err(failed())?;
        let agent = |row: &Row| {
            let id = AgentId(row.get("agent_id"));
            let mut own = Rows { count: 1, hash: row.get("hash") };
            for more in found.iter().filter_map(|found| found.agents.get(&id)) {
                own.add(*more);
            }
            let recorded: Option<String> = row.get("recorded");
            let registered = Registered {
                prefix: row.get("agent_prefix"),
                version: row.get("template_version"),
                fingerprint: format!("{} {} {surroundings}", own.count, own.hash),
                recorded: recorded
                    .map(|fingerprint| Recorded { fingerprint, at: row.get("verified_at") }),
            };
            (id, registered)
        };
        Ok(Self { agents: rows.iter().map(agent).collect(), seed })
    }

    /// Adds what definitions of these agents name of other agents: of most, nothing. An agent whose fingerprint is the recorded
    /// one without it names nothing. Needs an open transaction.
    pub(crate) async fn add_uses(
        &mut self,
        client: &Client,
        agents: &[AgentId],
    ) -> Result<(), Error> {
        let ids: Vec<i64> = agents.iter().map(|id| id.0).collect();
        let sql = include_str!("../../sql/provisioning/fingerprints_uses.sql");
        let parameters: [(&(dyn ToSql + Sync), Type); 2] =
            [(&self.seed, Type::INT8), (&ids, Type::INT8_ARRAY)];
        for row in client.query_typed(sql, &parameters).await.map_err(failed())? {
            let Rows { count, hash } = Rows::of(&row);
            if let Some(agent) = self.agents.get_mut(&AgentId(row.get("agent_id"))) {
                agent.fingerprint = format!("{} {count} {hash}", agent.fingerprint);
            }
        }
        Ok(())
    }

    /// Those that are still the same, without these agents'.
    pub(crate) fn confirmed(mut self, again: &Self, without: &HashSet<AgentId>) -> Self {
        self.agents.retain(|id, agent| {
            let now = again.agents.get(id);
            now.is_some_and(|now| now.fingerprint == agent.fingerprint) && !without.contains(id)
        });
        self
    }

    /// Of the hashes.
    pub(crate) fn seed(&self) -> i64 {
        self.seed
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.agents.is_empty()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = AgentId> {
        self.agents.keys().copied()
    }

    pub(crate) fn prefix(&self, id: AgentId) -> Option<&str> {
        self.agents.get(&id).map(|agent| agent.prefix.as_str())
    }

    /// Of the last template file that was run for the agent.
    pub(crate) fn version(&self, id: AgentId) -> Option<i32> {
        self.agents.get(&id).map(|agent| agent.version)
    }

    /// The agents of which nothing has changed since they were found right.
    pub(crate) fn unchanged(&self) -> impl Iterator<Item = AgentId> {
        self.ids().filter(|id| self.unchanged_since(*id).is_some())
    }

    /// When the agent was found right, if nothing has changed since.
    pub(crate) fn unchanged_since(&self, id: AgentId) -> Option<&str> {
        let agent = self.agents.get(&id)?;
        let recorded = agent.recorded.as_ref()?;
        (recorded.fingerprint == agent.fingerprint).then_some(recorded.at.as_str())
    }

    /// Records what a comparison of agents came to: those that are right, and those that differ.
    pub(crate) async fn record(
        &self,
        client: &Client,
        right: &[AgentId],
        drifted: &[FoundDrift],
    ) -> Result<Vec<NewDrift>, Error> {
        for right in right.chunks(RECORDED) {
            self.record_some(client, right, &[]).await?;
        }
        let mut new = Vec::new();
        for drifted in drifted.chunks(RECORDED) {
            new.extend(self.record_some(client, &[], drifted).await?);
        }
        Ok(new)
    }

    async fn record_some(
        &self,
        client: &Client,
        right: &[AgentId],
        drifted: &[FoundDrift],
    ) -> Result<Vec<NewDrift>, Error> {
        let text = |id: &AgentId| Some(self.agents.get(id)?.fingerprint.as_str());
        let (right, texts): (Vec<i64>, Vec<Option<&str>>) =
            right.iter().map(|id| (id.0, text(id))).unzip();
        let differences: Vec<i32> = drifted.iter().map(|drifted| drifted.differences).collect();
        let found: Vec<&str> = drifted.iter().map(|drifted| drifted.found.as_str()).collect();
        let row_versions: Vec<Option<&str>> =
            drifted.iter().map(|drifted| drifted.row_version.as_deref()).collect();
        let drifted: Vec<i64> = drifted.iter().map(|drifted| drifted.agent.0).collect();
        let sql = include_str!("../../sql/provisioning/fingerprints_record.sql");
        let parameters: [(&(dyn ToSql + Sync), Type); 7] = [
            (&right, Type::INT8_ARRAY),
            (&texts, Type::TEXT_ARRAY),
            (&self.seed, Type::INT8),
            (&drifted, Type::INT8_ARRAY),
            (&differences, Type::INT4_ARRAY),
            (&found, Type::TEXT_ARRAY),
            (&row_versions, Type::TEXT_ARRAY),
        ];
        let rows = client.query_typed(sql, &parameters).await;
        let rows = rows.map_err(query("record what was compared"))?;
        let new = |row: &Row| NewDrift {
            prefix: row.get("agent_prefix"),
            differences: row.get("differences"),
        };
        Ok(rows.iter().map(new).collect())
    }
}

/// The registered tables that have rows, with their agents, by agent.
pub(crate) async fn filled(client: &Client) -> Result<Vec<(AgentId, u32)>, Error> {
    let sql = "select t.agent_id, t.relation::oid from provisioning.agent_tables t \
               where pg_stat_get_live_tuples(t.relation) > 0 order by t.agent_id, t.relation";
    let rows = client.query_typed(sql, &[]).await.map_err(query("look for tables with rows"))?;
    Ok(rows.iter().map(|row| (AgentId(row.get(0)), row.get(1))).collect())
}

/// The agents of which a sequence is behind its rows: rows change nothing in the catalog. Needs an open transaction.
pub(crate) async fn behind(
    client: &Client,
    filled: &[(AgentId, u32)],
) -> Result<HashSet<AgentId>, Error> {
    let tables: Vec<u32> = filled.iter().map(|(_, table)| *table).collect();
    let behind = positions(client, &tables).await?;
    let behind: HashSet<u32> = behind.into_iter().map(|(table, _)| table).collect();
    let is_behind = |(id, table): &(AgentId, u32)| behind.contains(table).then_some(*id);
    Ok(filled.iter().filter_map(is_behind).collect())
}

fn failed() -> impl FnOnce(tokio_postgres::Error) -> Error {
    query("read the agents' fingerprints")
}
