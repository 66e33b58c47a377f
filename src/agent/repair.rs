//! Making good what went missing from an agent's tables.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::error::{Error, query};
use super::provision::{Registered, apply};
use super::{Agent, Blueprint, Outcome};

/// Creates the indexes that the templates name and the agent lacks. No row and no other object
/// changes; an agent without tables is left to its provision.
pub async fn repair(
    client: &Client,
    blueprint: &Blueprint,
    agent: &Agent,
    registered: Registered,
) -> Result<Outcome, Error> {
    if registered != Registered::This {
        return Ok(Outcome::Superseded);
    }
    let expected = blueprint.manifest.indexes(&agent.prefix);
    let names: Vec<&str> = expected.iter().map(|index| index.name.as_str()).collect();
    let sql = "select relname::text from pg_catalog.pg_class \
               where relnamespace = 'public'::regnamespace and relname = any ($1)";
    let found = client.query_typed(sql, &[(&names, Type::TEXT_ARRAY)]).await;
    let found = found.map_err(query("look for the agent's indexes"))?;
    let there: Vec<&str> = found.iter().map(|row| row.get(0)).collect();
    let missing: Vec<_> = expected
        .iter()
        .filter(|index| !there.contains(&index.name.as_str()))
        .map(|index| format!("{};", index.definition))
        .collect();
    if missing.is_empty() {
        return Ok(Outcome::Unchanged);
    }
    apply(client, &missing.join("\n")).await?;
    Ok(Outcome::Repaired)
}
