//! All agents at once, as an operator asks for them.

use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::error::Error;
use crate::agent::Prefix;
use crate::postgres::{self, Db};
use crate::provisioning::{self, RegisteredAgent};
use crate::templates::ExpectedSchema;
use crate::worker::{self, Pace, Scope, Verified};

/// What has no counterpart.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    /// Agents without tables, and without a job that will build them: prefix and id.
    pub without_tables: Vec<(String, i64)>,
    /// Registered tables without an agent, and without a job that will drop them: prefix and id.
    pub without_agent: Vec<(String, i64)>,
    /// Tables and types that look like an agent's and are nobody's.
    pub unmanaged: Vec<String>,
}

/// The registered agents of these prefixes, or all; a prefix that nobody has is an error.
pub(super) async fn select(db: &Db, prefixes: &[Prefix]) -> Result<Vec<RegisteredAgent>, Error> {
    let names: Vec<&str> = prefixes.iter().map(Prefix::as_str).collect();
    let only = (!names.is_empty()).then_some(names.as_slice());
    let agents = RegisteredAgent::read(&*db.get().await?, only).await?;
    let known = |name: &&&str| !agents.iter().any(|built| built.agent.prefix.as_str() == **name);
    match names.iter().find(known) {
        Some(unknown) => Err(Error::NotRegistered((*unknown).to_owned())),
        None => Ok(agents),
    }
}

/// Compares the agents of these prefixes, or all. Of all, those of which nothing has changed since they were found right are
/// left out, unless `full`. A prefix that nobody has is an error.
pub(super) async fn verify(
    db: &Db,
    expected_schema: &ExpectedSchema,
    prefixes: &[Prefix],
    full: bool,
) -> Result<Verified, Error> {
    let named = if prefixes.is_empty() { None } else { Some(select(db, prefixes).await?) };
    let scope = Scope { named, full, pace: Pace::Fast };
    Ok(worker::verify(db, expected_schema, scope).await?)
}

/// Looks for what has no counterpart.
pub(super) async fn orphans(
    client: &Client,
    expected_schema: &ExpectedSchema,
) -> Result<Orphans, provisioning::Error> {
    let version = expected_schema.templates().version();
    let tables = expected_schema.table_suffixes(version);
    let types = expected_schema.type_suffixes(version);
    let sql = include_str!("../../sql/operations/compare_agents_orphans.sql");
    let parameters: [(&(dyn ToSql + Sync), Type); 2] =
        [(&tables, Type::TEXT_ARRAY), (&types, Type::TEXT_ARRAY)];
    let rows = client.query_typed(sql, &parameters).await;
    let failed = |source| provisioning::Error::from(postgres::query("look for orphans")(source));
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
