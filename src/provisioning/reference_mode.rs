//! Changing what ties an agent's tables to `agents`, in a transaction that the caller opened.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::agent_row::is_alive;
use super::build_spec::BuildSpec;
use super::error::{Error, Renamed, query, written};
use super::registry::RegisteredAgent;
use crate::agent::{Agent, AgentId, Reference};
use crate::postgres::{LockMode, lock, run_each};
use crate::queue::Outcome;
use crate::schema::{Fact, refers_to_agents, unchecked};
use crate::sql_text::AGENTS;

/// Drops the agent's foreign keys to `agents`, or creates those that the templates have. An agent that
/// is gone is `Superseded`, and the caller must roll back.
///
/// `agents` is locked against writers until the commit, so the rows behind a new key are not checked. That is
/// `MoreToDo`, and [`check_keys`] is the rest.
pub(crate) async fn convert(
    client: &Client,
    build_spec: &BuildSpec,
    agent: &Agent,
    version: i32,
    to: Reference,
) -> Result<Outcome, Error> {
    let there = match to {
        Reference::ForeignKey => {
            let objects = build_spec.expected_schema.objects(client, agent, version, to).await?;
            let found = keys(client, agent.id).await?;
            let ours = |key: &&Fact| found.iter().any(|(table, _)| *table == key.relation);
            let has = |key: &&Fact| {
                found.iter().any(|(table, own)| {
                    *table == key.relation && own.as_deref() == Some(&*key.part)
                })
            };
            let wanted: Vec<&Fact> =
                objects.iter().filter(|object| refers_to_agents(object)).collect();
            require_in_place(client, agent, &wanted).await?;
            let missing = wanted.into_iter().filter(ours).filter(|key| !has(key));
            let (tables, creates): (Vec<_>, Vec<_>) =
                missing.map(|key| (key.relation.clone(), unchecked(key))).unzip();
            if tie(client, agent.id, to, &tables, &creates).await? {
                return Ok(Outcome::MoreToDo);
            }
            false
        }
        Reference::Check => untie(client, agent.id).await?,
    };
    Ok(if there { Outcome::Converted } else { Outcome::Superseded })
}

/// Refuses where one of these tables bears another name, or stands elsewhere: its key would not be made, and nothing would
/// tell.
async fn require_in_place(client: &Client, agent: &Agent, keys: &[&Fact]) -> Result<(), Error> {
    let built = RegisteredAgent::read(client, Some(&[agent.prefix.as_str()])).await?;
    let displaced = built.into_iter().flat_map(|built| built.displaced);
    let keyed = displaced.filter(|table| keys.iter().any(|key| key.relation == table.wanted));
    let keyed: Vec<Renamed> = keyed.map(Renamed::from).collect();
    if keyed.is_empty() { Ok(()) } else { Err(Error::Renamed(keyed)) }
}

/// Checks the rows behind the agent's foreign keys to `agents`, as far as that was not done. It locks `agents` against no
/// writer. A key whose rows have no partner goes on to hold for new rows only.
pub(crate) async fn check_keys(client: &Client, id: AgentId) -> Result<Outcome, Error> {
    let sql = include_str!("../../sql/provisioning/reference_mode_check.sql");
    let checked = client.query_typed(sql, &[(&id.0, Type::INT8)]).await;
    let checked = checked.map_err(query("check the rows behind the foreign keys"))?;
    Ok(if checked.is_empty() { Outcome::Unchanged } else { Outcome::Converted })
}

/// Drops the agent's foreign keys to `agents`; whether it still has its row there.
async fn untie(client: &Client, id: AgentId) -> Result<bool, Error> {
    let found = keys(client, id).await?;
    let keyed = found.into_iter().filter_map(|(table, key)| Some((table, key?)));
    let drop = |(table, key): (String, String)| {
        let drop = format!("alter table {table} drop constraint if exists {key}");
        (table, drop)
    };
    let (tables, drops): (Vec<_>, Vec<_>) = keyed.map(drop).unzip();
    tie(client, id, Reference::Check, &tables, &drops).await
}

/// The agent's tables, each with its foreign keys to `agents`.
async fn keys(client: &Client, id: AgentId) -> Result<Vec<(String, Option<String>)>, Error> {
    let sql = include_str!("../../sql/provisioning/reference_mode.sql");
    let rows = client.query_typed(sql, &[(&id.0, Type::INT8)]).await;
    let rows = rows.map_err(query("look for the foreign keys"))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Changes the keys of these tables, and says so in the registry; whether the agent is still there.
///
/// `agents` is locked before the tables: a lock taken in the middle would deadlock with everyone who reads
/// or writes `agents` and then an agent's table. It stays locked until the commit, so all that may wait
/// comes before, and everything goes out in one round trip.
async fn tie(
    client: &Client,
    id: AgentId,
    to: Reference,
    tables: &[String],
    statements: &[String],
) -> Result<bool, Error> {
    let mode = match to {
        Reference::ForeignKey => LockMode::ShareRowExclusive,
        Reference::Check => LockMode::AccessExclusive,
    };
    let record = "update provisioning.agents set reference = $2 where agent_id = $1";
    let agents = [AGENTS.to_owned()];
    let (recorded, locked, alive, changed) = tokio::join!(
        biased;
        async {
            client.execute_typed(record, &[(&id.0, Type::INT8), (&to.as_str(), Type::TEXT)]).await
        },
        lock(client, mode, &agents, tables),
        is_alive(client, id),
        run_each(client, statements, "change the foreign keys"),
    );
    let recorded = recorded.map_err(query("record the reference"))?;
    locked?;
    let there = alive?;
    if there {
        changed?;
        written(recorded, "provisioning.agents")?;
    }
    Ok(there)
}
