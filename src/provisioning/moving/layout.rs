//! How the rows of an agent's tables are read and written, and whether two sides have the same.

use std::collections::BTreeSet;

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use crate::postgres::{QueryError, query};

const DOING: &str = "read how the tables are made";

/// One table, and the statements that read and write its rows.
#[derive(Clone, Debug)]
pub(crate) struct TableLayout {
    pub(crate) name: String,
    /// Qualified and quoted.
    pub(crate) relation: String,
    /// Name and type of each.
    columns: Vec<String>,
    /// The columns, as `table.column`, that have the agent's id as their default.
    ids: Vec<String>,
    /// Not a partition of another one of them.
    pub(crate) has_rows: bool,
    copy_out: String,
    copy_in: String,
    digest: String,
    is_portable: bool,
    /// Row security would hide rows from this role.
    pub(crate) hides_rows: bool,
}

/// What stands for the rows of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Digest {
    pub(crate) rows: i64,
    hash: String,
}

/// Something that only one side has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Differing {
    pub(crate) on_source: bool,
    /// A table, or a column with its type.
    pub(crate) what: String,
}

/// The layouts of tables, those that others refer to first. `other`: the agent's id where the rows go, if it is another one, and
/// the tables there.
pub(crate) async fn read(
    client: &Client,
    tables: &[u32],
    agent: i64,
    other: Option<(i64, &[TableLayout])>,
) -> Result<Vec<TableLayout>, QueryError> {
    let sql = include_str!("../../../sql/provisioning/moving_layout.sql");
    let (other, there) = other.map_or((None, &[][..]), |(id, there)| (Some(id), there));
    let ids: Vec<&String> = there.iter().flat_map(|table| &table.ids).collect();
    let asked: [(&(dyn ToSql + Sync), Type); 4] = [
        (&tables, Type::OID_ARRAY),
        (&agent, Type::INT8),
        (&other, Type::INT8),
        (&ids, Type::TEXT_ARRAY),
    ];
    let rows = client.query_typed(sql, &asked).await.map_err(query(DOING))?;
    rows.iter().map(|row| TableLayout::from_row(row).map_err(query(DOING))).collect()
}

/// What one side has and the other has not: tables, columns, types.
pub(crate) fn differences(source: &[TableLayout], target: &[TableLayout]) -> Vec<Differing> {
    let list = |tables: &[TableLayout]| {
        let columns = |table: &TableLayout| {
            let column = |column: &String| format!("{}.{column}", table.name);
            let columns = table.columns.iter().map(column);
            columns.chain([table.name.clone()]).collect::<Vec<_>>()
        };
        tables.iter().flat_map(columns).collect::<BTreeSet<String>>()
    };
    let (source, target) = (list(source), list(target));
    let only = |own: &BTreeSet<String>, other: &BTreeSet<String>, on_source| {
        let missing = own.difference(other);
        missing.map(|what| Differing { on_source, what: what.clone() }).collect::<Vec<_>>()
    };
    [only(&source, &target, true), only(&target, &source, false)].concat()
}

impl TableLayout {
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            name: row.try_get("name")?,
            relation: row.try_get("relation")?,
            columns: row.try_get("columns")?,
            ids: row.try_get("ids")?,
            has_rows: row.try_get("has_rows")?,
            copy_out: row.try_get("copy_out")?,
            copy_in: row.try_get("copy_in")?,
            digest: row.try_get("digest")?,
            is_portable: row.try_get("is_portable")?,
            hides_rows: row.try_get("hides_rows")?,
        })
    }

    /// The statements that read the rows here and write them to `target`.
    pub(crate) fn copies(&self, target: &Self) -> (String, String) {
        let binary = self.is_portable && target.is_portable;
        let form = if binary { " (format binary)" } else { "" };
        (format!("{}{form}", self.copy_out), format!("{}{form}", target.copy_in))
    }

    /// Counts the rows, and hashes them in an order of no matter.
    pub(crate) async fn digest(&self, client: &Client) -> Result<Digest, QueryError> {
        let doing = || query("count and hash the rows");
        let rows = client.query_typed(&self.digest, &[]).await.map_err(doing())?;
        let Some(row) = rows.first() else { return Ok(Digest { rows: 0, hash: String::new() }) };
        let (rows, hash) = (row.try_get(0).map_err(doing())?, row.try_get(1).map_err(doing())?);
        Ok(Digest { rows, hash })
    }
}
