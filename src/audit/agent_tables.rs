//! One agent's tables, with the prefix left open.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use super::relations::{self, Name, PREFIX, Relations, Table};
use crate::agent::Reference;
use crate::postgres::{self, QueryError, query};
use crate::templates::{self, Templates};

/// Why the tables cannot be rendered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The transaction cannot be begun or ended.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A template was refused.
    #[error(transparent)]
    Templates(#[from] templates::Error),
    /// The catalog cannot be read.
    #[error(transparent)]
    Relations(#[from] relations::Error),
}

/// What a template set makes for one agent. [`PREFIX`] stands for its prefix in all names.
#[derive(Clone, Debug, Default)]
pub struct AgentTables {
    /// By what follows the prefix, such as `_customers`.
    tables: BTreeMap<String, Table>,
}

impl AgentTables {
    /// The tables of schema `public` that belong to an agent of this prefix.
    pub fn of(relations: &Relations, prefix: &str) -> Self {
        let own = relations.tables().filter(|table| table.name.schema == "public");
        let own = own.filter_map(|table| {
            let suffix = table.name.name.strip_prefix(prefix)?;
            suffix.starts_with('_').then(|| (suffix.to_owned(), open(table, prefix)))
        });
        Self { tables: own.collect() }
    }

    /// Runs the templates for a scratch prefix and takes the result back. The database has the base schema.
    pub async fn render(client: &mut Client, templates: &Templates) -> Result<Self, Error> {
        let templates = templates::choose_search_paths(client, templates.clone()).await?;
        let (prefix, id) = (templates::scratch_prefix()?, templates::scratch_id(false));
        let tx = postgres::begin(client).await.map_err(query("begin"))?;
        templates::apply(tx.client(), &templates.script(&prefix, id, Reference::Check)).await?;
        let relations = Relations::read(tx.client()).await?;
        tx.rollback().await.map_err(query("take the templates back"))?;
        Ok(Self::of(&relations, prefix.as_str()))
    }

    /// The table of a name that begins with [`PREFIX`], or with some agent's prefix.
    pub fn named(&self, name: &Name) -> Option<&Table> {
        let ends = |suffix: &str| name.name.len() > suffix.len() && name.name.ends_with(suffix);
        // `_orders_items` before `_items`.
        let ends = self.tables.iter().filter(|(suffix, _)| name.schema == "public" && ends(suffix));
        ends.max_by_key(|(suffix, _)| suffix.len()).map(|(_, table)| table)
    }

    /// By what follows the prefix, such as `_customers`.
    pub fn table(&self, suffix: &str) -> Option<&Table> {
        self.tables.get(suffix)
    }

    /// All of them, in the order of their names.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.values()
    }

    /// Whether there is no template set.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }
}

fn open(table: &Table, prefix: &str) -> Table {
    let mut table = table.clone();
    let own = |name: &str| name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('_'));
    let open = |name: &mut String| {
        if own(name) {
            name.replace_range(..prefix.len(), PREFIX);
        }
    };
    open(&mut table.name.name);
    for known in table.columns.iter_mut().filter_map(|column| column.r#enum.as_mut()) {
        open(&mut known.name.name);
    }
    for key in &mut table.foreign_keys {
        open(&mut key.name);
        open(&mut key.target.name);
    }
    table
}
