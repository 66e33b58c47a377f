//! In what agents differ, as they were last compared: nothing is compared for that.

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
    pub since_age: f64,
    /// In seconds, of the agent that was compared the longest time ago.
    pub compared_age: f64,
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
