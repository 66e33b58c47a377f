//! Tables, columns, constraints, indexes and functions that bear another name in the database than in the files: one difference, and not one for each object
//! that names them.

use std::collections::HashMap;

use super::item::Item;
use super::schema_state::SchemaState;
use super::step::Step;
use crate::schema::{Change, Difference, Fact, Key, Kind, bare};

/// Many tables have an id and nothing else: that one of these is gone and another one has come says little.
const FEWEST_COLUMNS: usize = 2;

/// What was most likely renamed.
#[derive(Debug)]
pub(super) struct Renamed {
    /// As the files make it.
    was: Fact,
    /// As the database has it.
    now: Fact,
}

/// What is missing where something else is that has its place.
pub(super) fn find(
    differences: &[Difference],
    expected: &SchemaState,
    found: &SchemaState,
) -> Vec<Renamed> {
    let of = |kind: Kind, change: Change| {
        let own = move |it: &&Difference| it.change == change && it.object.kind == kind;
        differences.iter().filter(own).map(|it| &it.object)
    };
    let (wanted, there) = (places(expected), places(found));
    let columns = of(Kind::Column, Change::Missing).filter_map(|was| {
        let place = wanted.get(&was.key())?;
        let mut others = of(Kind::Column, Change::Extra).filter(|now| {
            now.relation == was.relation
                && now.definition == was.definition
                && there.get(&now.key()) == Some(place)
        });
        Some(Renamed { was: was.clone(), now: others.next()?.clone() })
    });
    let tables = of(Kind::Table, Change::Missing).filter_map(|was| {
        let columns = columns_of(expected, was);
        let is_alike = |state: &SchemaState, other: &&Fact| {
            other.definition == was.definition && columns_of(state, other) == columns
        };
        let mut others = of(Kind::Table, Change::Extra).filter(|other| is_alike(found, other));
        let now = others.next()?;
        let mut twins = of(Kind::Table, Change::Missing).filter(|other| is_alike(expected, other));
        let is_only = others.next().is_none() && twins.nth(1).is_none();
        (is_only && columns.len() >= FEWEST_COLUMNS)
            .then(|| Renamed { was: was.clone(), now: now.clone() })
    });
    let mut renamed: Vec<Renamed> = columns.chain(tables).collect();
    for kind in [Kind::Constraint, Kind::Index, Kind::Function] {
        for was in of(kind, Change::Missing) {
            let mut others = of(kind, Change::Extra).filter(|now| bears(was, now));
            let Some(now) = others.next() else { continue };
            let mut twins = of(kind, Change::Missing).filter(|other| bears(other, now));
            if others.next().is_none() && twins.nth(1).is_none() {
                renamed.push(Renamed { was: was.clone(), now: now.clone() });
            }
        }
    }
    renamed
}

/// What a constraint, an index or a function is called, without its schema and its arguments.
fn called(fact: &Fact) -> &str {
    if fact.kind == Kind::Function {
        bare(fact.relation.split('(').next().unwrap_or_default())
    } else if fact.kind == Kind::Index {
        bare(&fact.part)
    } else {
        &fact.part
    }
}

/// Whether one is the other under another name.
fn bears(was: &Fact, now: &Fact) -> bool {
    let is_near = if was.kind == Kind::Function {
        schema(&was.relation) == schema(&now.relation)
    } else {
        was.relation == now.relation && was.home == now.home
    };
    is_near && was.definition.replacen(called(was), called(now), 1) == now.definition
}

/// Which column of its table each is.
fn places(state: &SchemaState) -> HashMap<Key, usize> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    let columns = state.in_order().into_iter().filter(|fact| fact.kind == Kind::Column);
    let place = |column: Fact| {
        let count = counts.entry(column.relation.clone()).or_default();
        *count += 1;
        (column.key(), *count)
    };
    columns.map(place).collect()
}

/// Names and types, in order.
fn columns_of(state: &SchemaState, table: &Fact) -> Vec<(String, String)> {
    let own = |fact: &Fact| fact.kind == Kind::Column && fact.relation == table.relation;
    let columns = state.in_order().into_iter().filter(own);
    columns.map(|column| (column.part, column.definition)).collect()
}

impl Renamed {
    /// What is told of it is told of what the files make.
    pub(super) fn item(&self) -> Item {
        Item::of(&self.was)
    }

    pub(super) fn evidence(&self) -> String {
        let Self { was, now } = self;
        if was.kind == Kind::Table {
            format!("{} has its columns: most likely {} was renamed", now.relation, was.relation)
        } else if was.kind != Kind::Column {
            format!("{} is the same: most likely {} was renamed", called(now), called(was))
        } else {
            format!(
                "{}.{} has its place and its type: most likely {} was renamed",
                now.relation, now.part, was.part
            )
        }
    }

    /// Whether all differences of an object come of the other name.
    pub(super) fn explains<'a>(
        &self,
        item: &Item,
        differences: impl Iterator<Item = &'a Difference>,
        expected: &SchemaState,
        found: &SchemaState,
    ) -> bool {
        let mut all = differences.peekable();
        let explained = |difference: &Difference| {
            let Difference { object, change } = difference;
            matches!(change, Change::Differs { .. })
                && needs(expected, object, &self.was)
                && needs(found, object, &self.now)
        };
        all.peek().is_some()
            && *item != self.item()
            && (*item == Item::of(&self.now) || all.all(explained))
    }

    /// Puts the statement that gives the name back in the place of a step that would make it.
    pub(super) fn replace(&self, step: &mut Step) {
        let Self { was, now } = self;
        let mut statements = Vec::new();
        if was.kind == Kind::Table {
            let (old, new) = (&now.relation, &was.relation);
            let mut at = old.clone();
            if schema(old) != schema(new) {
                statements.push(format!("alter table {at} set schema {}", schema(new)));
                at = format!("{}.{}", schema(new), bare(old));
            }
            if bare(old) != bare(new) {
                statements.push(format!("alter table {at} rename to {}", bare(new)));
            }
        } else {
            let Fact { kind, relation, .. } = was;
            let (old, new) = (called(now), called(was));
            statements.push(if *kind == Kind::Index {
                format!("alter index {} rename to {new}", now.part)
            } else if *kind == Kind::Function {
                format!("alter routine {} rename to {new}", now.relation)
            } else {
                let what = if *kind == Kind::Constraint { "constraint" } else { "column" };
                format!("alter table {relation} rename {what} {old} to {new}")
            });
        }
        *step = Step::of(was);
        step.leave("What uses the name of today fails afterwards.", statements);
    }
}

/// Whether an object needs a column, or a table with any of its columns.
fn needs(state: &SchemaState, object: &Fact, named: &Fact) -> bool {
    let key = named.key();
    let of_table = |need: &Key| named.kind == Kind::Table && need.1 == named.relation;
    let is_it = |need: &Key| of_table(need) || *need == key;
    state.needs.get(&object.key()).is_some_and(|needs| needs.iter().any(is_it))
}

fn schema(qualified: &str) -> &str {
    let name = bare(qualified).len();
    qualified.get(..qualified.len().saturating_sub(name + 1)).unwrap_or_default()
}
