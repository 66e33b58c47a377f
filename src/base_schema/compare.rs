//! Whether the base schema of a database is what this program makes of it.

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Transaction};

use super::difference::{BaseDifference, differences};
use super::error::Error;
use super::facts::{Owner, expected, read};
use super::names::Names;
use crate::postgres::{self, query};
use crate::schema::{self, Fact, Kind};
use crate::sql_text::pasteable;

/// Where the base schema differs from what this program makes. Changes nothing.
pub async fn verify(client: &mut Client) -> Result<Vec<BaseDifference>, Error> {
    compare(&postgres::begin(client).await.map_err(query("begin"))?).await
}

/// The same in a transaction that is open. Reads catalogs only.
pub(super) async fn compare(tx: &Transaction<'_>) -> Result<Vec<BaseDifference>, Error> {
    let expected = expected()?;
    let names = Names::of(&expected);
    let (mut found, owner) = read(tx, &names).await?;
    let tables: Vec<String> = expected
        .iter()
        .filter(|fact| fact.kind == Kind::Table)
        .map(|fact| fact.relation.clone())
        .collect();
    // What is said of something else under the name of a table of ours would be nothing but what follows from that.
    let replaced = replaced(tx, &tables).await?;
    found.retain(|fact| !replaced.iter().any(|name| is_of(fact, name)));
    let mut differences = differences(&schema::compare(&expected, &found), &names, &owner);
    name_renamed_tables(tx, &tables, &replaced, &owner, &mut differences).await?;
    Ok(differences)
}

/// What has the name of a table of ours, and is something else.
async fn replaced(tx: &Transaction<'_>, tables: &[String]) -> Result<Vec<String>, Error> {
    let doing = || query("look for what has the name of a table");
    let sql = include_str!("../../sql/base_schema/replaced_tables.sql");
    let rows = tx.query_typed(sql, &[(&tables, Type::TEXT_ARRAY)]).await.map_err(doing())?;
    rows.iter()
        .map(|row| row.try_get("name"))
        .collect::<Result<_, _>>()
        .map_err(|e| doing()(e).into())
}

/// Whether it is that relation, or hangs on it.
fn is_of(fact: &Fact, relation: &str) -> bool {
    let named = fact.relation.rsplit_once(' ').map_or(&*fact.relation, |(_, name)| name);
    named == relation
}

/// Of a missing table that somebody renamed or moved, what brings it back.
async fn name_renamed_tables(
    tx: &Transaction<'_>,
    tables: &[String],
    replaced: &[String],
    owner: &Owner,
    differences: &mut Vec<BaseDifference>,
) -> Result<(), Error> {
    let doing = || query("look for renamed tables");
    let is_lost = |found: &&mut BaseDifference| found.lost_table().is_some();
    let lost: Vec<&str> = differences.iter().filter_map(BaseDifference::lost_table).collect();
    if lost.is_empty() {
        return Ok(());
    }
    let sql = include_str!("../../sql/base_schema/renamed_tables.sql");
    let parameters: [(&(dyn ToSql + Sync), Type); 3] =
        [(&lost, Type::TEXT_ARRAY), (&tables, Type::TEXT_ARRAY), (&owner.name, Type::TEXT)];
    for row in tx.query_typed(sql, &parameters).await.map_err(doing())? {
        let name: String = row.try_get("name").map_err(doing())?;
        let way_out: String = row.try_get("way_out").map_err(doing())?;
        let now: String = row.try_get("now").map_err(doing())?;
        differences.retain(|found| !found.is_key_to(&now, &name));
        let mut lost = differences.iter_mut().filter(is_lost);
        if let Some(found) = lost.find(|found| found.lost_table() == Some(&name)) {
            let how = if replaced.contains(&name) {
                "it was renamed or moved, and something else has its name"
            } else {
                "it was renamed or moved"
            };
            found.fix = format!("{how}; as {} run: {}", owner.name, pasteable(&way_out));
        }
    }
    Ok(())
}
