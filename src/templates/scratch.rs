//! The scratch agent for which templates are tried: its prefix, its id, and what was made for it.

use std::iter::repeat_with;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::error::{Error, query};
use crate::agent::{AgentId, Prefix};

/// Tables, or types, that the templates made.
#[derive(Debug, Default)]
pub(crate) struct Made {
    pub(crate) oids: Vec<u32>,
    pub(crate) names: Vec<String>,
}

impl Made {
    pub(crate) fn by_oid(self) -> impl Iterator<Item = (u32, String)> {
        self.oids.into_iter().zip(self.names)
    }
}

/// The tables and the types that stand under a scratch prefix, in the order of their making.
pub(crate) async fn made(client: &Client, scratch: &Prefix) -> Result<(Made, Made), Error> {
    let sql = include_str!("../../sql/templates/scratch.sql");
    let rows = client.query_typed(sql, &[(&format!("{scratch}_"), Type::TEXT)]).await;
    let rows = rows.map_err(query("look at what the templates made"))?;
    let (tables, types): (Vec<_>, Vec<_>) =
        rows.iter().partition(|row| row.get::<_, bool>("is_table"));
    let list = |rows: Vec<&Row>| Made {
        oids: rows.iter().map(|row| row.get("oid")).collect(),
        names: rows.iter().map(|row| row.get("name")).collect(),
    };
    Ok((list(tables), list(types)))
}

/// A relation that the templates made.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) name: String,
    /// The table that it belongs to, or is.
    pub(crate) whole: String,
}

/// Every relation that stands under a scratch prefix, indexes and sequences too.
pub(crate) async fn names(client: &Client, scratch: &Prefix) -> Result<Vec<Named>, Error> {
    let sql = include_str!("../../sql/templates/scratch_names.sql");
    let rows = client.query_typed(sql, &[(&format!("{scratch}_"), Type::TEXT)]).await;
    let rows = rows.map_err(query("look at what the templates made"))?;
    let read = |row: &Row| Named { name: row.get("name"), whole: row.get("whole") };
    Ok(rows.iter().map(read).collect())
}

/// As long as a prefix may be, so that the rehearsal also meets the longest names.
pub(crate) fn scratch_prefix() -> Result<Prefix, Error> {
    format!("zz_try{}", letters(14)).parse().map_err(Error::Prefix)
}

/// One that has nothing in common with these but for what any prefix has.
pub(crate) fn other_scratch_prefix() -> Result<Prefix, Error> {
    format!("agt_{}", letters(10)).parse().map_err(Error::Prefix)
}

fn letters(count: usize) -> String {
    repeat_with(fastrand::lowercase).take(count).collect()
}

pub(crate) fn scratch_id(wide: bool) -> AgentId {
    AgentId(if wide {
        fastrand::i64(8_000_000_000_000_000_000..9_000_000_000_000_000_000)
    } else {
        fastrand::i64(1_900_000_000..2_000_000_000)
    })
}

/// One of another length.
pub(crate) fn other_scratch_id() -> AgentId {
    AgentId(fastrand::i64(800_000_000..900_000_000))
}
