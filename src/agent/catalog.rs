//! What the server's catalog says of tables and types.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::error::{Error, query};
use super::object::{Kind, Object};

/// Definitions name everything in full, and each step finds its rows by an index: a plan made for a
/// small catalog would scan a large one.
const SETTINGS: &str = "set local search_path = pg_catalog, pg_temp; set local enable_seqscan = off; \
                        set local enable_hashjoin = off; set local enable_mergejoin = off";

/// Undoes [`SETTINGS`] for what the transaction does next.
const SETTINGS_OFF: &str = "set local enable_seqscan = on; set local enable_hashjoin = on; \
                            set local enable_mergejoin = on";

/// Every object of these tables and types, with the oid of the one it belongs to.
///
/// Needs an open transaction, whose `search_path` has no schema of ours or others' afterwards.
pub(super) async fn read(
    client: &Client,
    tables: &[u32],
    types: &[u32],
) -> Result<Vec<(u32, Object)>, Error> {
    let sql = include_str!("../../sql/queries/catalog.sql");
    let (set, rows, unset) = tokio::join!(
        biased;
        client.batch_execute(SETTINGS),
        async {
            client
                .query_typed(sql, &[(&tables, Type::OID_ARRAY), (&types, Type::OID_ARRAY)])
                .await
        },
        client.batch_execute(SETTINGS_OFF),
    );
    set.map_err(query("prepare to read the catalog"))?;
    let rows = rows.map_err(query("read the catalog"))?;
    unset.map_err(query("read the catalog"))?;
    rows.iter().map(object).collect()
}

/// The server's functions say nothing of what is dropped while they are asked.
fn object(row: &Row) -> Result<(u32, Object), Error> {
    let text = |name| row.get::<_, Option<String>>(name).ok_or(Error::Vanished);
    let kind = row.get::<_, Option<&str>>("kind").and_then(Kind::parse).ok_or(Error::Vanished)?;
    let (relation, part) = (text("relation")?, text("part")?);
    let definition = text("definition")?;
    Ok((row.get("owner"), Object { kind, relation, part, definition, echo: None }))
}
