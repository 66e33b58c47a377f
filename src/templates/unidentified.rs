//! Tables by which no agent could be deleted any more: the server publishes what a foreign key does to their rows, and
//! cannot tell the rows.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::error::{Error, query};
use crate::agent::Prefix;

/// A table without a replica identity that is published, and that the end of an agent reaches.
#[derive(Debug)]
pub(crate) struct Unidentified {
    /// Bare.
    pub(crate) name: String,
    /// Qualified and quoted.
    relation: String,
}

/// The first such table of a scratch prefix.
pub(crate) async fn find(client: &Client, scratch: &Prefix) -> Result<Option<Unidentified>, Error> {
    let sql = include_str!("../../sql/templates/unidentified.sql");
    let rows = client.query_typed(sql, &[(&format!("{scratch}_"), Type::TEXT)]).await;
    let rows = rows.map_err(query("look for tables without a replica identity"))?;
    let read = |row: &Row| Unidentified { name: row.get("name"), relation: row.get("relation") };
    Ok(rows.first().map(read))
}

impl Unidentified {
    pub(crate) fn reason(&self) -> String {
        let Self { relation, .. } = self;
        format!(
            "table {relation} is published, refers to public.agents and has no replica identity. The server would \
             delete no agent any more, whichever it is. Give it a primary key; or write \
             `alter table {relation} replica identity full`"
        )
    }
}
