//! What the server's catalog says of tables and types.

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::error::{Error, query};
use super::fact::Fact;
use super::kind::Kind;

/// Definitions name everything in full, and each step finds its rows by an index: a plan made for a
/// small catalog would scan a large one.
const SETTINGS: &str = "set local search_path = pg_catalog, pg_temp; set local enable_seqscan = off; \
                        set local enable_hashjoin = off; set local enable_mergejoin = off";

/// Undoes [`SETTINGS`] for what the transaction does next.
const SETTINGS_OFF: &str = "set local enable_seqscan = on; set local enable_hashjoin = on; \
                            set local enable_mergejoin = on";

/// Every object of these tables and types, with the oid of the one it belongs to. The tables belong together.
///
/// Needs an open transaction, whose `search_path` has no schema of ours or others' afterwards.
pub(crate) async fn read(
    client: &Client,
    tables: &[u32],
    types: &[u32],
) -> Result<Vec<(u32, Fact)>, Error> {
    let tables: Vec<(i64, u32)> = tables.iter().map(|oid| (0, *oid)).collect();
    read_of(client, &tables, types).await
}

/// The same of tables that belong to several: to whom each belongs, and its oid.
pub(crate) async fn read_of(
    client: &Client,
    tables: &[(i64, u32)],
    types: &[u32],
) -> Result<Vec<(u32, Fact)>, Error> {
    let sql = include_str!("../../sql/schema/catalog.sql");
    let (whose, tables): (Vec<i64>, Vec<u32>) = tables.iter().copied().unzip();
    let parameters: [(&(dyn ToSql + Sync), Type); 3] =
        [(&tables, Type::OID_ARRAY), (&types, Type::OID_ARRAY), (&whose, Type::INT8_ARRAY)];
    by_index(client, sql, &parameters).await?.iter().map(object).collect()
}

/// What a query of catalogs says that is to find its rows by oid. Needs an open transaction.
pub(crate) async fn by_index(
    client: &Client,
    sql: &str,
    parameters: &[(&(dyn ToSql + Sync), Type)],
) -> Result<Vec<Row>, Error> {
    let (set, rows, unset) = tokio::join!(
        biased;
        client.batch_execute(SETTINGS),
        async { client.query_typed(sql, parameters).await },
        client.batch_execute(SETTINGS_OFF),
    );
    set.map_err(query("prepare to read the catalog"))?;
    let rows = rows.map_err(query("read the catalog"))?;
    unset.map_err(query("read the catalog"))?;
    Ok(rows)
}

fn object(row: &Row) -> Result<(u32, Fact), Error> {
    Ok((row.get("owner"), read_fact(row, row.get("home"))?))
}

/// The fact that a row of a query of catalogs is: its kind, relation, part and definition.
///
/// The server's functions say nothing of what is dropped while they are asked: then there is a null, and this fails.
pub(crate) fn read_fact(row: &Row, home: Option<String>) -> Result<Fact, Error> {
    let text = |name| row.get::<_, Option<String>>(name).ok_or(Error::Vanished);
    let kind = row.get::<_, Option<&str>>("kind").and_then(Kind::parse);
    Ok(Fact {
        kind: kind.ok_or(Error::Vanished)?,
        home: home.ok_or(Error::Vanished)?,
        relation: text("relation")?,
        part: text("part")?,
        definition: text("definition")?,
        echo: None,
    })
}
