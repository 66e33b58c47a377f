//! Changing what ties an agent's tables to `agents`, in a transaction that the caller opened.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::error::{Error, query};
use super::mend::refers_to_agents;
use super::{Agent, Blueprint, Object, Outcome, Reference};

/// Drops the agent's foreign keys to `agents`, or creates those that the templates have.
///
/// `agents` is locked first: a lock taken in the middle would deadlock with everyone who reads or
/// writes `agents` and then an agent's table. An agent that is gone is `Superseded`.
pub async fn convert(
    client: &Client,
    blueprint: &Blueprint,
    agent: &Agent,
    version: i32,
    to: Reference,
) -> Result<Outcome, Error> {
    let wanted: Vec<Object> = match to {
        // Asked before the lock: the first time it tries the templates.
        Reference::ForeignKey => {
            let objects = blueprint.manifest.objects(client, agent, version, to).await?;
            objects.into_iter().filter(refers_to_agents).collect()
        }
        Reference::Check => Vec::new(),
    };
    let lock = match to {
        Reference::ForeignKey => "lock table public.agents in share row exclusive mode",
        Reference::Check => "lock table public.agents in access exclusive mode",
    };
    let keys = include_str!("../../sql/queries/keys.sql");
    let record = "update provisioning.agents p set reference = $2 where p.agent_id = $1 \
                  and exists (select from public.agents a where a.id = p.agent_id)";
    let (locked, keys, recorded) = tokio::join!(
        biased;
        client.batch_execute(lock),
        async { client.query_typed(keys, &[(&agent.id.0, Type::INT8)]).await },
        async {
            let to = to.as_str();
            client.execute_typed(record, &[(&agent.id.0, Type::INT8), (&to, Type::TEXT)]).await
        },
    );
    locked.map_err(query("lock agents"))?;
    let keys = keys.map_err(query("look for the foreign keys"))?;
    if recorded.map_err(query("record the reference"))? == 0 {
        return Ok(Outcome::Superseded);
    }
    let found: Vec<(&str, Option<&str>)> =
        keys.iter().map(|row| (row.get(0), row.get(1))).collect();
    let statements: Vec<String> = match to {
        Reference::Check => found
            .iter()
            .filter_map(|(table, key)| Some((table, (*key)?)))
            .map(|(table, key)| format!("alter table {table} drop constraint {key}"))
            .collect(),
        Reference::ForeignKey => {
            let ours = |key: &&Object| found.iter().any(|(table, _)| *table == key.relation);
            let has = |key: &&Object| found.contains(&(&*key.relation, Some(&*key.part)));
            wanted.iter().filter(ours).filter(|key| !has(key)).map(Object::create).collect()
        }
    };
    let changed = client.batch_execute(&statements.join(";\n")).await;
    changed.map_err(query("change the foreign keys"))?;
    Ok(Outcome::Converted)
}
