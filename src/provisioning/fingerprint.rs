//! Which agents are as they were when they were last found right.
//!
//! A fingerprint stands for every row of the catalog that an agent's facts are read from, and for every name in other rows that
//! its definitions may contain. Fingerprints are read before the facts are, and names before rows. So a fingerprint is never
//! newer than what was compared: what changes in between makes the next one another. An agent may be compared once too
//! often, and never once too seldom, except for what a day's limit bounds: see the query.
//!
//! Each statement reads so many rows and no more, however many agents there are.

use std::collections::{HashMap, HashSet};

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::compare::positions;
use super::error::{Error, query};
use super::registry::RegisteredAgent;
use crate::agent::{Agent, AgentId};
use crate::schema::{Difference, by_index, headlines};

/// Relations or types that a statement looks at.
const PAGE: i64 = 20_000;

/// Agents that a statement writes.
const RECORDED: usize = 1_000;

/// What fingerprints of all agents have in common: the names around them, and what the templates make.
#[derive(Debug)]
pub(crate) struct Surroundings {
    /// Of the hashes.
    seed: i64,
    digest: String,
    next: Option<(Page, u32)>,
    /// Of the pages so far.
    names: (i64, i64),
}

/// A catalog that grows with the agents.
#[derive(Clone, Copy, Debug)]
enum Page {
    Relations,
    Types,
}

/// The fingerprints of registered agents; or none, where nobody asked for them.
#[derive(Debug, Default)]
pub(crate) struct Fingerprints {
    agents: HashMap<AgentId, Fingerprint>,
    /// Of the hashes.
    seed: i64,
}

#[derive(Debug)]
struct Fingerprint {
    text: String,
    /// When this role found an agent of that fingerprint right; `None`: it has to be compared.
    unchanged_since: Option<String>,
}

/// An agent that differs.
#[derive(Debug)]
pub(crate) struct FoundDrift {
    pub(crate) agent: AgentId,
    /// In so many ways.
    pub(crate) differences: i32,
    /// Some of them, as a JSON array.
    pub(crate) found: String,
}

/// Differences of an agent that are told: the rest is counted.
const TOLD: usize = 20;

impl FoundDrift {
    /// The same words for the same difference of any agent.
    pub(crate) fn of(agent: &Agent, drift: &[Difference]) -> Self {
        let told = headlines(drift).into_iter().take(TOLD).map(|difference| {
            let Difference { object, change } = difference;
            let (kind, object) = (object.kind.as_str(), object.to_string());
            let object = without_prefix(&object, agent.prefix.as_str());
            serde_json::json!({ "change": change.name(), "kind": kind, "object": object })
        });
        Self {
            agent: agent.id,
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
    let none = Fingerprints::default();
    if left.is_empty() {
        none.record(client, &[agent.id], &[]).await?;
    } else {
        none.record(client, &[], &[FoundDrift::of(agent, left)]).await?;
    }
    Ok(())
}

/// An agent that was not known to differ.
#[derive(Debug)]
pub(crate) struct NewDrift {
    pub(crate) prefix: String,
    pub(crate) differences: i32,
}

impl Surroundings {
    /// `digest` stands for what the templates make. There is more: see [`Self::read_on`].
    pub(crate) async fn begin(client: &Client, digest: &str) -> Result<Self, Error> {
        let seed = "select coalesce(min(v.seed), hashtextextended(gen_random_uuid()::text, 0)) \
                    from provisioning.verified_agents v where v.verified_by = current_user";
        let rows = client.query_typed(seed, &[]).await.map_err(failed())?;
        let seed: i64 = rows.first().map(|row| row.get(0)).unwrap_or_default();
        let sql = include_str!("../../sql/provisioning/fingerprints_names.sql");
        let parameters: [(&(dyn ToSql + Sync), Type); 2] =
            [(&seed, Type::INT8), (&digest, Type::TEXT)];
        let rows = client.query_typed(sql, &parameters).await.map_err(failed())?;
        let digest = rows.first().map(|row| row.get(0)).unwrap_or_default();
        Ok(Self { seed, digest, next: Some((Page::Relations, 0)), names: (0, 0) })
    }

    /// Reads one more page; false where there is none. Needs an open transaction.
    pub(crate) async fn read_on(&mut self, client: &Client) -> Result<bool, Error> {
        let Some((page, after)) = self.next else { return Ok(false) };
        let sql = match page {
            Page::Relations => include_str!("../../sql/provisioning/fingerprints_relations.sql"),
            Page::Types => include_str!("../../sql/provisioning/fingerprints_types.sql"),
        };
        let parameters: [(&(dyn ToSql + Sync), Type); 3] =
            [(&self.seed, Type::INT8), (&after, Type::OID), (&PAGE, Type::INT8)];
        let rows = by_index(client, sql, &parameters).await?;
        let mut last = None;
        for row in &rows {
            last = row.get::<_, Option<u32>>("last");
            let (count, hash) = self.names;
            let more: (i64, Option<i64>) = (row.get("count"), row.get("hash"));
            self.names = (count + more.0, hash ^ more.1.unwrap_or_default());
        }
        self.next = match (page, last) {
            (page, Some(last)) => Some((page, last)),
            (Page::Relations, None) => Some((Page::Types, 0)),
            (Page::Types, None) => None,
        };
        Ok(self.next.is_some())
    }

    /// The fingerprints of these agents. Needs an open transaction.
    pub(crate) async fn fingerprints(
        &self,
        client: &Client,
        agents: &[AgentId],
    ) -> Result<Fingerprints, Error> {
        let ids: Vec<i64> = agents.iter().map(|id| id.0).collect();
        let sql = include_str!("../../sql/provisioning/fingerprints.sql");
        let parameters: [(&(dyn ToSql + Sync), Type); 2] =
            [(&self.seed, Type::INT8), (&ids, Type::INT8_ARRAY)];
        let rows = by_index(client, sql, &parameters).await?;
        let agents = rows.iter().map(|row| self.fingerprint(row)).collect();
        Ok(Fingerprints { agents, seed: self.seed })
    }

    fn fingerprint(&self, row: &Row) -> (AgentId, Fingerprint) {
        let (digest, (count, hash)) = (&self.digest, self.names);
        let text = format!("{} {count} {hash} {digest}", row.get::<_, &str>("rows"));
        let is_recorded = row.get::<_, Option<&str>>("recorded") == Some(&text);
        let unchanged_since = is_recorded.then(|| row.get("verified_at"));
        (AgentId(row.get("agent_id")), Fingerprint { text, unchanged_since })
    }
}

impl Fingerprints {
    /// Of some and of others, with the same surroundings.
    pub(crate) fn together(parts: Vec<Self>) -> Self {
        let seed = parts.first().map(|part| part.seed).unwrap_or_default();
        Self { agents: parts.into_iter().flat_map(|part| part.agents).collect(), seed }
    }

    /// When the agent was found right, if nothing has changed since.
    pub(crate) fn unchanged_since(&self, id: AgentId) -> Option<&str> {
        self.agents.get(&id)?.unchanged_since.as_deref()
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
        let text = |id: &AgentId| Some(self.agents.get(id)?.text.as_str());
        let (right, texts): (Vec<i64>, Vec<Option<&str>>) =
            right.iter().map(|id| (id.0, text(id))).unzip();
        let differences: Vec<i32> = drifted.iter().map(|drifted| drifted.differences).collect();
        let found: Vec<&str> = drifted.iter().map(|drifted| drifted.found.as_str()).collect();
        let drifted: Vec<i64> = drifted.iter().map(|drifted| drifted.agent.0).collect();
        let sql = include_str!("../../sql/provisioning/fingerprints_record.sql");
        let parameters: [(&(dyn ToSql + Sync), Type); 6] = [
            (&right, Type::INT8_ARRAY),
            (&texts, Type::TEXT_ARRAY),
            (&self.seed, Type::INT8),
            (&drifted, Type::INT8_ARRAY),
            (&differences, Type::INT4_ARRAY),
            (&found, Type::TEXT_ARRAY),
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

/// The agents of which a sequence is behind its rows: rows change nothing in the catalog. Needs an open transaction.
pub(crate) async fn behind(
    client: &Client,
    agents: &[RegisteredAgent],
) -> Result<HashSet<AgentId>, Error> {
    let tables: Vec<u32> = agents.iter().flat_map(|built| &built.tables).copied().collect();
    let behind = positions(client, &tables).await?;
    let behind: HashSet<u32> = behind.into_iter().map(|(table, _)| table).collect();
    let is_behind = |built: &&RegisteredAgent| built.tables.iter().any(|oid| behind.contains(oid));
    Ok(agents.iter().filter(is_behind).map(|built| built.agent.id).collect())
}

fn failed() -> impl FnOnce(tokio_postgres::Error) -> Error {
    query("read the agents' fingerprints")
}
