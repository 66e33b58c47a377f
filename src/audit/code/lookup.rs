//! Which tables a name means.

use super::grammar::OPEN;
use super::text::{self, Text};
use crate::audit::agent_tables::AgentTables;
use crate::audit::relations::{Name, PREFIX, Relations, Table};

/// What names are looked up in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lookup<'r> {
    pub(super) relations: &'r Relations,
    pub(super) agents: &'r AgentTables,
}

/// The tables that a name means: one, or those that fit a name with gaps. Never empty.
#[derive(Clone, Debug)]
pub(super) struct Found<'r> {
    tables: Vec<&'r Table>,
    /// What stands for the gap in other names of the call.
    prefix: Option<String>,
    pub(super) is_certain: bool,
}

impl<'r> Found<'r> {
    fn one(table: &'r Table, prefix: Option<String>, is_certain: bool) -> Self {
        Self { tables: vec![table], prefix, is_certain }
    }

    /// Another table, reached from this one.
    pub(super) fn to(&self, table: &'r Table) -> Self {
        Self::one(table, self.prefix.clone(), self.is_certain)
    }

    /// The first, for what is the same for all.
    pub(super) fn table(&self) -> Option<&'r Table> {
        self.tables.first().copied()
    }

    pub(super) fn tables(&self) -> &[&'r Table] {
        &self.tables
    }

    /// A name with the prefix in its gap. `None` where the gap may be anything.
    pub(super) fn fill(&self, name: &str) -> Option<String> {
        if !name.contains(OPEN) {
            return Some(name.to_owned());
        }
        let tail =
            name.strip_prefix(OPEN).filter(|tail| tail.starts_with('_') && !tail.contains(OPEN))?;
        Some(format!("{}{tail}", self.prefix.as_deref().unwrap_or(PREFIX)))
    }
}

impl<'r> Lookup<'r> {
    pub(super) fn named(&self, name: &Name) -> Option<&'r Table> {
        match name.name.strip_prefix(PREFIX) {
            Some(suffix) => self.agents.table(suffix).filter(|_| name.schema == "public"),
            None => self.relations.table(name),
        }
    }

    pub(super) fn tables(&self) -> impl Iterator<Item = &'r Table> {
        self.relations.tables().chain(self.agents.tables())
    }

    /// The table of a name that is known, in one of the schemas.
    pub(super) fn certain(&self, schemas: &[String], name: &str) -> Option<Found<'r>> {
        let mut names = schemas.iter().map(|schema| Name::new(schema, name));
        let table = names.find_map(|name| self.relations.table(&name))?;
        Some(Found::one(table, None, true))
    }

    /// The tables that fit a name with gaps: an agent's, or else those that are there.
    pub(super) fn templated(&self, schemas: &[String], name: &Text) -> Option<Found<'r>> {
        let marked = name.marked();
        let tail = marked.rsplit_once(OPEN).map_or("", |(_, tail)| tail);
        if let Some(table) = self.agents.table(tail) {
            return Some(Found::one(table, Some(PREFIX.to_owned()), false));
        }
        let fits = |table: &&Table| {
            schemas.contains(&table.name.schema) && text::fits(&marked, &table.name.name)
        };
        let tables: Vec<&'r Table> = self.relations.tables().filter(fits).collect();
        let first = tables.first()?;
        let prefix = text::head(&marked, &first.name.name).map(ToOwned::to_owned);
        Some(Found { tables, prefix, is_certain: false })
    }

    /// Whether some table that is meant has the column, or computes it.
    pub(super) fn has(&self, found: &Found<'_>, column: &str) -> bool {
        found.tables.iter().any(|table| {
            table.columns.iter().any(|it| it.name == column)
                || self.relations.computes(&table.name, column)
        })
    }
}
