//! In what agents differ, as they were last compared: nothing is compared for that.

use serde::Deserialize;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::error::Error;
use crate::postgres::query;
use crate::service::Instance;

/// More kinds of differences are not told.
pub(crate) const GROUPS: usize = 100;

/// More agents of a kind are counted and not named.
const NAMED: i32 = 100;

/// Agents that differ in the same way.
#[derive(Debug)]
pub(crate) struct Group {
    /// What it is: `missing`, `differs` or `extra`, the kind of object, and its name with `{prefix}` for the agents' own. `None`:
    /// it was not written down, and `agents verify` tells.
    pub difference: Option<[String; 3]>,
    pub agents: i64,
    /// Some of them.
    pub prefixes: Vec<String>,
    /// In seconds, of the agent that differs for the longest time.
    pub since_age: Option<f64>,
    /// In seconds, of the agent that was compared the longest time ago.
    pub compared_age: Option<f64>,
}

/// In what one agent differs.
#[derive(Debug)]
pub(crate) struct Known {
    /// In so many ways.
    pub differences: i32,
    /// Some of them, as in [`Group`].
    pub told: Vec<Told>,
    /// In seconds, since it was found first.
    pub since_age: Option<f64>,
    /// In seconds, since it was found last.
    pub compared_age: Option<f64>,
}

/// A difference, with `{prefix}` for the agent's own.
#[derive(Debug, Deserialize)]
pub(crate) struct Told {
    pub change: String,
    pub kind: String,
    pub object: String,
}

/// In what an agent differed when it was last compared; `None`: in nothing.
pub(crate) async fn of_agent(instance: &Instance, agent: i64) -> Result<Option<Known>, Error> {
    let client = instance.current().await?;
    let doing = || query("look in what the agent differs");
    let sql = include_str!("../../sql/operations/drift_of_agent.sql");
    let rows = client.query_typed(sql, &[(&agent, Type::INT8)]).await.map_err(doing())?;
    let Some(row) = rows.first() else { return Ok(None) };
    let text: String = row.try_get("found").map_err(doing())?;
    Ok(Some(Known {
        differences: row.try_get("differences").map_err(doing())?,
        // What no program of ours wrote is not told.
        told: serde_json::from_str(&text).unwrap_or_default(),
        since_age: row.try_get("since_age").map_err(doing())?,
        compared_age: row.try_get("compared_age").map_err(doing())?,
    }))
}

/// The most frequent first; of all agents, or of those with this in their prefix.
pub(crate) async fn groups(instance: &Instance, prefix: Option<&str>) -> Result<Vec<Group>, Error> {
    let client = instance.current().await?;
    let doing = || query("look for agents that differ");
    let sql = include_str!("../../sql/operations/drift.sql");
    let most = i64::try_from(GROUPS).unwrap_or(i64::MAX);
    let asked: [(&(dyn ToSql + Sync), Type); 3] =
        [(&prefix, Type::TEXT), (&most, Type::INT8), (&NAMED, Type::INT4)];
    let rows = client.query_typed(sql, &asked).await.map_err(doing())?;
    Ok(rows.iter().map(group).collect::<Result<_, _>>().map_err(doing())?)
}

fn group(row: &Row) -> Result<Group, tokio_postgres::Error> {
    let told = |name| row.try_get::<&str, Option<String>>(name);
    let difference = match (told("change")?, told("kind")?, told("object")?) {
        (Some(change), Some(kind), Some(object)) => Some([change, kind, object]),
        _ => None,
    };
    Ok(Group {
        difference,
        agents: row.try_get("agents")?,
        prefixes: row.try_get("prefixes")?,
        since_age: row.try_get("since_age")?,
        compared_age: row.try_get("compared_age")?,
    })
}
