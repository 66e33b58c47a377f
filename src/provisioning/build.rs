//! Building one agent's tables, in a transaction that the caller opened.

use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::agent_row::hold;
use super::build_spec::BuildSpec;
use super::error::{Error, query};
use super::registered_objects::RegisteredObjects;
use super::registry;
use crate::agent::{Agent, AgentId, Prefix};
use crate::queue::{Outcome, PrefixOwner};
use crate::sql_text::{AGENTS, outside};
use crate::templates::{
    ExpectedSchema, act_as_oneself, act_as_worker, add_foreign_keys, apply, existing_relations,
    lock_referenced,
};

/// Gives an agent its tables and registers them: all, or (after the caller's rollback) none.
///
/// Everything goes out in one round trip. The foreign key locks `agents` until the commit, so as little
/// as possible comes after it, and nothing that waits. The agent is looked at last: a row that is gone,
/// or that is being deleted, makes this `Superseded`, and the caller must roll back. Row security hides
/// no row here. The tables of a former agent are left alone, and make this `Requeued`.
pub(crate) async fn build(
    client: &Client,
    build_spec: &BuildSpec,
    agent: &Agent,
    registered: PrefixOwner,
) -> Result<Outcome, Error> {
    match registered {
        PrefixOwner::This => return Ok(Outcome::Unchanged),
        PrefixOwner::Former(_) => return Ok(Outcome::Requeued),
        PrefixOwner::Kept { agent, job } => {
            let tables = RegisteredObjects::read(client, agent).await?.names();
            return Err(Error::Kept { agent, job, tables });
        }
        PrefixOwner::Nobody => {}
    }
    let BuildSpec { expected_schema, reference, .. } = build_spec;
    let templates = expected_schema.templates();
    let (prefix, version) = (&agent.prefix, templates.version());
    let (tables, published) = (templates.numbered(prefix, agent.id), templates.published(prefix));
    let key = templates.key(prefix, agent.id, *reference);
    let locked = outside(&key.to_string(), prefix).iter().any(|table| table == AGENTS);
    // Sent in this order without waiting for each other's answer.
    let (
        acting,
        in_the_way,
        reached,
        applied,
        entered,
        registered,
        published,
        keyed,
        held,
        oneself,
    ) = tokio::join!(
        biased;
        act_as_worker(client, Some(agent.id)),
        in_the_way(client, expected_schema, prefix),
        lock_referenced(client, &tables, prefix),
        apply(client, &tables),
        enter(client, build_spec, agent.id),
        registry::register(client, expected_schema, agent, version),
        apply(client, &published),
        add_foreign_keys(client, &key, prefix),
        hold(client, agent, locked),
        act_as_oneself(client),
    );
    acting?;
    let in_the_way = in_the_way?;
    if !in_the_way.is_empty() {
        return Err(Error::InTheWay(in_the_way));
    }
    reached?;
    applied?;
    let entered = entered?;
    registered?;
    published?;
    keyed?;
    let held = held?;
    oneself?;
    match (entered, held) {
        (true, true) => Ok(Outcome::Provisioned),
        (false, true) => Err(Error::Swallowed("provisioning.agents")),
        (_, false) => Ok(Outcome::Superseded),
    }
}

/// Relations and types that bear names which the templates give.
pub(super) async fn in_the_way(
    client: &Client,
    expected_schema: &ExpectedSchema,
    prefix: &Prefix,
) -> Result<Vec<String>, Error> {
    let version = expected_schema.templates().version();
    let names = expected_schema.relations(prefix, version, None);
    let mut types = expected_schema.types(prefix, version);
    types.extend(expected_schema.tables(prefix, version));
    Ok(existing_relations(client, &names, &types).await?)
}

/// Enters the agent into the registry; whether there is one.
async fn enter(client: &Client, build_spec: &BuildSpec, id: AgentId) -> Result<bool, Error> {
    let sql = "select provisioning.enter_agent($1, $2, $3)";
    let version = build_spec.expected_schema.templates().version();
    let parameters: [(&(dyn ToSql + Sync), Type); 3] =
        [(&id.0, Type::INT8), (&version, Type::INT4), (&build_spec.reference.as_str(), Type::TEXT)];
    let entered =
        client.query_typed(sql, &parameters).await.map_err(query("register the agent"))?;
    Ok(entered.iter().any(|row| row.get(0)))
}
