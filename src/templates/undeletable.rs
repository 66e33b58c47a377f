//! Tables by which no agent could be deleted any more: of what a foreign key does to their rows, the server cannot tell a
//! publication the rows, or it may not do it in the name of the tables' owner.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::error::{Error, query};
use crate::agent::Prefix;

/// A table that the end of an agent reaches, and that stops it.
#[derive(Debug)]
pub(crate) struct Undeletable {
    /// Bare.
    pub(crate) name: String,
    /// Qualified and quoted.
    relation: String,
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
        lost: row.get("lost"),
    };
    Ok(rows.first().map(read))
}

impl Undeletable {
    pub(crate) fn reason(&self) -> String {
        let Self { relation, .. } = self;
        match &self.lost {
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
