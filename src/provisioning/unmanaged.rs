//! Tables that nobody registered and that a deletion would empty, take along, or leave behind.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::error::{Attached, Error, query};
use crate::templates::ExpectedSchema;

/// Whether unregistered tables bear the names of this agent's. While its row is there this refuses where one has a
/// foreign key to `agents`: the end of the row would reach into it.
pub(crate) async fn has_old_tables(
    client: &Client,
    expected_schema: &ExpectedSchema,
    prefix: &str,
    alive: bool,
) -> Result<bool, Error> {
    let version = expected_schema.templates().version();
    let found = find(client, prefix, &expected_schema.table_suffixes(version)).await?;
    let fixes: Vec<String> = found.iter().filter_map(|row| row.get("fix")).collect();
    if fixes.is_empty() || !alive {
        return Ok(!found.is_empty());
    }
    let tables = found.iter().map(|row| row.get("name")).collect();
    Err(Error::NotAdopted { prefix: prefix.to_owned(), tables, fixes })
}

/// The statements that untie an agent's unregistered tables from `agents`.
pub(crate) async fn ties(client: &Client, prefix: &str) -> Result<Vec<String>, Error> {
    let found = find(client, prefix, &[]).await?;
    Ok(found.iter().filter_map(|row| row.get("fix")).collect())
}

async fn find(client: &Client, prefix: &str, suffixes: &[String]) -> Result<Vec<Row>, Error> {
    let sql = include_str!("../../sql/provisioning/unmanaged.sql");
    client
        .query_typed(sql, &[(&prefix, Type::TEXT), (&suffixes, Type::TEXT_ARRAY)])
        .await
        .map_err(query("look for tables that were never adopted"))
}

/// Refuses where partitions or inheritance children of these tables would go along with them; and with
/// `hidden`, where a parent would go on showing their rows. The tables must be locked.
pub(crate) async fn require_detached(
    client: &Client,
    tables: &[u32],
    hidden: bool,
) -> Result<(), Error> {
    let attached = attached(client, tables, hidden).await?;
    if attached.is_empty() { Ok(()) } else { Err(Error::Attached(attached)) }
}

/// What [`require_detached`] refuses.
pub(crate) async fn attached(
    client: &Client,
    tables: &[u32],
    hidden: bool,
) -> Result<Vec<Attached>, Error> {
    let sql = include_str!("../../sql/provisioning/unmanaged_attached.sql");
    let rows = client.query_typed(sql, &[(&tables, Type::OID_ARRAY), (&hidden, Type::BOOL)]).await;
    let rows = rows.map_err(query("look for partitions and inheritance children"))?;
    let read = |row: &Row| Attached {
        stranger: row.get("stranger"),
        found: row.get("found"),
        fix: row.get("fix"),
    };
    Ok(rows.iter().map(read).collect())
}
