//! First rows of a lost partition that come by way of a parent that stands. They get the defaults that the parent had when the
//! template wrote them.

use std::collections::{HashMap, HashSet};

use super::difference::{Change, Difference};
use super::fact::{Fact, Key};
use super::history::{Home, Recorded};
use super::kind::Kind;

/// What stands after some of the statements.
pub(super) struct Moment<'a> {
    facts: HashMap<Key, &'a Fact>,
    /// The default that rows got which were there when a column was added.
    added: HashMap<Key, Option<&'a Fact>>,
    /// Defaults of tables that stand which are others than the templates make, and which a repair leaves.
    found: HashMap<Key, Fact>,
}

/// The parents of some tables at a moment.
pub(super) struct Parents<'a> {
    relations: HashSet<&'a str>,
    /// Of each of their columns.
    defaults: HashMap<Key, Option<&'a Fact>>,
}

impl<'a> Moment<'a> {
    /// Before all statements.
    pub(super) fn first(drift: &[Difference], force: bool) -> Self {
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
        Self { facts: HashMap::new(), added: HashMap::new(), found }
    }

    pub(super) fn pass(&mut self, statement: &'a Recorded) {
        let columns = statement.made.iter().filter(|fact| fact.kind == Kind::Column);
        let new = columns.filter(|column| !self.facts.contains_key(&column.key()));
        let new: Vec<&Fact> = new.collect();
        for fact in &statement.gone {
            self.facts.remove(&fact.key());
        }
        self.facts.extend(statement.made.iter().map(|fact| (fact.key(), fact)));
        for column in new {
            self.added.insert(column.key(), self.default_of(column));
        }
    }

    /// The tables that have these as partitions, at any level.
    pub(super) fn parents(&self, parts: &'a [Home]) -> Parents<'a> {
        let mut below: HashSet<&str> = parts.iter().filter_map(Home::lasting).collect();
        let mut relations: HashSet<&str> = HashSet::new();
        loop {
            let known = relations.len();
            for fact in self.facts.values().filter(|fact| fact.kind == Kind::Parent) {
                let is_part = !fact.definition.is_empty() && below.contains(fact.home.as_str());
                relations.extend(is_part.then_some(fact.part.as_str()));
            }
            let is_parent = |fact: &&&Fact| relations.contains(fact.relation.as_str());
            below.extend(self.facts.values().filter(is_parent).map(|fact| fact.home.as_str()));
            if relations.len() == known {
                break;
            }
        }
        let columns = self.columns_of(&relations);
        let defaults = columns.map(|column| (column.key(), self.default_of(column))).collect();
        Parents { relations, defaults }
    }

    /// The statement, run while the parents that stand have the defaults of then. Whoever makes a partition holds the lock of
    /// its parent anyway.
    pub(super) fn run_with(
        &self,
        mut statement: Recorded,
        parents: &Parents<'_>,
        missing: &HashSet<&str>,
    ) -> Recorded {
        let columns = self.columns_of(&parents.relations);
        let mut columns: Vec<_> =
            columns.filter(|column| !missing.contains(column.home.as_str())).collect();
        columns.sort_by_key(|column| column.key());
        for column in columns {
            let key = column.key();
            let then = parents.defaults.get(&key).or_else(|| self.added.get(&key));
            let found = self.found.get(&default_key(column));
            let (then, now) = (then.copied().flatten(), found.or_else(|| self.default_of(column)));
            if then.map(|default| &default.definition) != now.map(|default| &default.definition) {
                let around = [set(then, now), Some(statement.sql), set(now, then)];
                statement.sql = around.into_iter().flatten().collect::<Vec<_>>().join(";\n");
            }
        }
        statement
    }

    fn columns_of(&self, relations: &HashSet<&str>) -> impl Iterator<Item = &'a Fact> {
        let is_column =
            |fact: &&Fact| fact.kind == Kind::Column && relations.contains(fact.relation.as_str());
        self.facts.values().copied().filter(is_column)
    }

    fn default_of(&self, column: &Fact) -> Option<&'a Fact> {
        self.facts.get(&default_key(column)).copied()
    }
}

/// Gives a column its default, or takes the other one that it has.
fn set(default: Option<&Fact>, other: Option<&Fact>) -> Option<String> {
    default.map(Fact::create).or_else(|| other.and_then(Fact::drop))
}

fn default_key(column: &Fact) -> Key {
    (Kind::Default, column.relation.clone(), column.part.clone())
}
