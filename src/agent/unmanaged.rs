//! Tables that nobody registered and that a deletion would empty, take along, or leave behind.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::error::{Error, query};
use super::{Manifest, adopt};

/// Whether unregistered tables bear the names of this agent's. While its row is there this refuses where one has a
/// foreign key to `agents`: the end of the row would reach into it.
pub(super) async fn has_old_tables(
    client: &Client,
    manifest: &Manifest,
    prefix: &str,
    alive: bool,
) -> Result<bool, Error> {
    let version = manifest.templates().version();
    let suffixes = adopt::suffixes(|prefix| manifest.tables(prefix, version))?;
    let sql = include_str!("../../sql/queries/old_tables.sql");
    let found = client
        .query_typed(sql, &[(&prefix, Type::TEXT), (&suffixes, Type::TEXT_ARRAY)])
        .await
        .map_err(query("look for tables that were never adopted"))?;
    let mend: Vec<String> = found.iter().filter_map(|row| row.get("mend")).collect();
    if mend.is_empty() || !alive {
        return Ok(!found.is_empty());
    }
    let tables = found.iter().map(|row| row.get("name")).collect();
    Err(Error::NotAdopted { prefix: prefix.to_owned(), tables, mend })
}

/// Refuses where partitions or inheritance children of these tables would go along with them; and with
/// `hidden`, where a parent would go on showing their rows. The tables must be locked.
pub(super) async fn require_detached(
    client: &Client,
    tables: &[u32],
    hidden: bool,
) -> Result<(), Error> {
    let sql = include_str!("../../sql/queries/attached.sql");
    let rows = client.query_typed(sql, &[(&tables, Type::OID_ARRAY), (&hidden, Type::BOOL)]).await;
    let rows = rows.map_err(query("look for partitions and inheritance children"))?;
    if rows.is_empty() {
        return Ok(());
    }
    let all = |column| rows.iter().map(|row| row.get(column)).collect();
    Err(Error::Attached { found: all("found"), mend: all("mend") })
}
