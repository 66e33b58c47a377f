//! First rows that come to a lost table while a table above it stands. They get the defaults of the moment at which the template
//! wrote them.

use std::collections::{HashMap, HashSet};

use super::difference::{Change, Difference};
use super::fact::{Fact, Key};
use super::heirs::no_default;
use super::history::{Home, Recorded};
use super::kind::Kind;
use crate::sql_text::{self, Reader};

/// What there is after some of the statements.
pub(super) struct Moment<'a> {
    /// The tables and types that are missing.
    missing: &'a HashSet<&'a str>,
    facts: HashMap<Key, &'a Fact>,
    /// The default that rows got which were there when a column was added.
    added: HashMap<Key, Option<&'a Fact>>,
    /// Columns that the statements make which run again.
    own: HashSet<Key>,
    /// Columns that the other statements took away or renamed, in that order.
    taken: Vec<&'a Fact>,
    /// Defaults of tables that stand which are others than the templates make, and which a repair leaves.
    found: HashMap<Key, Fact>,
}

/// At a moment, the tables that a statement's rows come by, as far as they stand or are made like one that stands: they are
/// as that one is by now.
pub(super) struct Ways<'a> {
    relations: HashSet<&'a str>,
    /// Of each of their columns.
    defaults: HashMap<Key, Option<&'a Fact>>,
    /// How many columns had been taken away.
    taken: usize,
}

impl<'a> Moment<'a> {
    /// Before all statements.
    pub(super) fn first(drift: &[Difference], force: bool, missing: &'a HashSet<&'a str>) -> Self {
        let left = |Difference { object, change }: &Difference| {
            let definition = match change {
                Change::Differs { found } if !force => found.clone(),
                Change::Extra => object.definition.clone(),
                Change::Differs { .. } | Change::Missing | Change::Removed { .. } => return None,
            };
            Some((object.key(), Fact { definition, ..object.clone() }))
        };
        let defaults = drift.iter().filter(|it| it.object.kind == Kind::Default);
        let found = defaults.filter_map(left).collect();
        let (facts, added, own) = (HashMap::new(), HashMap::new(), HashSet::new());
        Self { missing, facts, added, own, taken: Vec::new(), found }
    }

    /// After a statement; whether that runs again.
    pub(super) fn pass(&mut self, statement: &'a Recorded, again: bool) {
        let columns = statement.made.iter().filter(|fact| fact.kind == Kind::Column);
        let new = columns.filter(|column| !self.facts.contains_key(&column.key()));
        let new: Vec<&Fact> = new.collect();
        for fact in &statement.gone {
            self.facts.remove(&fact.key());
        }
        self.facts.extend(statement.made.iter().map(|fact| (fact.key(), fact)));
        for column in &new {
            self.added.insert(column.key(), self.default_of(column));
        }
        if again {
            self.own.extend(new.iter().map(|column| column.key()));
        } else {
            let gone = statement.gone.iter().filter(|fact| fact.kind == Kind::Column);
            self.taken.extend(gone.filter(|column| !self.facts.contains_key(&column.key())));
        }
    }

    /// Those of rows of these tables.
    pub(super) fn ways(&self, tables: &'a [Home]) -> Ways<'a> {
        let homes =
            self.of_kind(Kind::Table).map(|fact| (fact.relation.as_str(), fact.home.as_str()));
        let homes: HashMap<&str, &str> = homes.collect();
        let mut reached: HashSet<&str> = tables.iter().filter_map(Home::lasting).collect();
        loop {
            let known = reached.len();
            for fact in self.of_kind(Kind::Parent) {
                let is_partition =
                    !fact.definition.is_empty() && reached.contains(fact.home.as_str());
                reached.extend(homes.get(fact.part.as_str()).filter(|_| is_partition));
            }
            if reached.len() == known {
                break;
            }
        }
        let like_standing = self.like_standing();
        let is_way =
            |relation: &str, home: &str| reached.contains(home) && like_standing.contains(relation);
        let relations = homes.iter().filter(|(relation, home)| is_way(relation, home));
        let relations: HashSet<&str> = relations.map(|(relation, _)| *relation).collect();
        let columns = self.columns_of(&relations);
        let defaults = columns.map(|column| (column.key(), self.default_of(column))).collect();
        Ways { relations, defaults, taken: self.taken.len() }
    }

    /// The statement, run while its ways have the defaults of then. Whoever makes a partition holds the lock of its parent anyway.
    /// `None` where the rows could be others: it reads a table that stands, or values could come into other columns.
    pub(super) fn run_with(&self, mut statement: Recorded, ways: &Ways<'_>) -> Option<Recorded> {
        let standing = self.of_kind(Kind::Table).filter(|table| {
            let is_way = ways.relations.contains(table.relation.as_str());
            !is_way && !self.missing.contains(table.home.as_str())
        });
        if standing.into_iter().any(|table| sql_text::mentions(&statement.sql, &table.home)) {
            return None;
        }
        let taken = self.taken.iter().skip(ways.taken);
        let mut taken =
            taken.filter(|column| ways.relations.contains(column.relation.as_str())).peekable();
        if taken.peek().is_some() && !names_columns_but(&statement.sql, taken) {
            return None;
        }
        let mut columns: Vec<_> = self.columns_of(&ways.relations).collect();
        columns.sort_by_key(|column| column.key());
        for column in columns {
            let key = column.key();
            let then = match (ways.defaults.get(&key), self.added.get(&key)) {
                (Some(then), _) => *then,
                (None, Some(added)) if !self.own.contains(&key) => *added,
                // It is not there yet.
                (None, _) => continue,
            };
            let found = self.found.get(&default_key(column));
            let now = found.or_else(|| self.default_of(column));
            // What is made like a table whose default is not the templates' begins with that.
            let is_known = || !self.found.keys().any(|(_, _, part)| *part == column.part);
            let is_then =
                then.map(|default| &default.definition) == now.map(|default| &default.definition);
            if !is_then || found.is_none() && !is_known() {
                let around = [set(column, then), Some(statement.sql), set(column, now)];
                statement.sql = around.into_iter().flatten().collect::<Vec<_>>().join(";\n");
            }
        }
        Some(statement)
    }

    /// The tables that stand, and those that have one of them above them.
    fn like_standing(&self) -> HashSet<&'a str> {
        let standing = self.of_kind(Kind::Table);
        let standing = standing.filter(|fact| !self.missing.contains(fact.home.as_str()));
        let mut like: HashSet<&str> = standing.map(|fact| fact.relation.as_str()).collect();
        loop {
            let known = like.len();
            for fact in self.of_kind(Kind::Parent) {
                let is_below = like.contains(fact.part.as_str());
                like.extend(is_below.then_some(fact.relation.as_str()));
            }
            if like.len() == known {
                return like;
            }
        }
    }

    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &'a Fact> {
        self.facts.values().copied().filter(move |fact| fact.kind == kind)
    }

    fn columns_of(&self, relations: &HashSet<&str>) -> impl Iterator<Item = &'a Fact> {
        let is_one = |fact: &&Fact| relations.contains(fact.relation.as_str());
        self.of_kind(Kind::Column).filter(is_one)
    }

    fn default_of(&self, column: &Fact) -> Option<&'a Fact> {
        self.facts.get(&default_key(column)).copied()
    }
}

/// Gives a column a default, or none. `None`: it fills itself.
fn set(column: &Fact, default: Option<&Fact>) -> Option<String> {
    default.map(Fact::create).or_else(|| no_default(column))
}

fn default_key(column: &Fact) -> Key {
    (Kind::Default, column.relation.clone(), column.part.clone())
}

/// Whether it is an insert that names its columns, and none of these.
fn names_columns_but<'a>(sql: &str, mut taken: impl Iterator<Item = &'a &'a Fact>) -> bool {
    let mut text = Reader::new(sql);
    let mut names_columns = || {
        text.words("insert into") && text.qualified().is_some() && {
            let _alias = text.words("as").then(|| text.name());
            text.list().is_some()
        }
    };
    names_columns() && !taken.any(|column| sql_text::mentions(sql, &column.bare_part()))
}
