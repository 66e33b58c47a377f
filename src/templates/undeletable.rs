//! Tables by which no agent could be deleted any more: of what a foreign key does to their rows, the server cannot tell a
//! publication the rows, or it may not do it in the name of the tables' owner. Or the owner may not lock them.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::error::{Error, query};
use crate::agent::Prefix;

/// A table that stops the end of an agent.
#[derive(Debug)]
pub(crate) struct Undeletable {
    /// Bare.
    pub(crate) name: String,
    /// Qualified and quoted.
    relation: String,
    /// Whether its owner may not lock it; else a foreign key reaches it.
    locks: bool,
    /// The rights that its owner has lost; `None`: it lacks a replica identity.
    lost: Option<String>,
}

/// The first such table of a scratch prefix.
pub(crate) async fn find(client: &Client, scratch: &Prefix) -> Result<Option<Undeletable>, Error> {
    let sql = include_str!("../../sql/templates/undeletable.sql");
    let rows = client.query_typed(sql, &[(&format!("{scratch}_"), Type::TEXT)]).await;
    let rows = rows.map_err(query("look for tables by which no agent could be deleted"))?;
    let read = |row: &Row| Undeletable {
        name: row.get("name"),
        relation: row.get("relation"),
        locks: row.get("locks"),
        lost: row.get("lost"),
    };
    Ok(rows.first().map(read))
}

impl Undeletable {
    pub(crate) fn reason(&self) -> String {
        let Self { relation, .. } = self;
        match &self.lost {
            Some(lost) if self.locks => format!(
                "the owner of table {relation} may not {lost} there, so it cannot lock the table. No agent with this table \
                 could be deleted. Leave the owner one of these rights"
            ),
            Some(lost) => format!(
                "table {relation} refers to public.agents, and its owner may not {lost} there. The server would delete no \
                 agent any more, whichever it is: it does so in the owner's name. Leave the owner these rights"
            ),
            None => format!(
                "table {relation} is published, refers to public.agents and has no replica identity. The server would \
                 delete no agent any more, whichever it is. Give it a primary key; or write \
                 `alter table {relation} replica identity full`"
            ),
        }
    }
}
