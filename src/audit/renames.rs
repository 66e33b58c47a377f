//! Columns that bear another name in the database than in the files: one difference, and not one for each object that
//! names them.

use std::collections::HashMap;

use super::item::Item;
use super::schema_state::SchemaState;
use super::step::Step;
use crate::schema::{Change, Difference, Fact, Key, Kind};

/// A column that was most likely renamed.
#[derive(Debug)]
pub(super) struct Renamed {
    /// The column as the files make it.
    column: Fact,
    /// The name that it has in the database.
    now: String,
}

/// The columns that are missing where the same place of the table has another one with the same definition.
pub(super) fn find(
    differences: &[Difference],
    expected: &SchemaState,
    found: &SchemaState,
) -> Vec<Renamed> {
    let of = |change: Change| {
        let own = move |it: &&Difference| it.change == change && it.object.kind == Kind::Column;
        differences.iter().filter(own).map(|it| &it.object)
    };
    let (wanted, there) = (places(expected), places(found));
    let pairs = of(Change::Missing).filter_map(|column| {
        let place = wanted.get(&column.key())?;
        let mut others = of(Change::Extra).filter(|other| {
            other.relation == column.relation
                && other.definition == column.definition
                && there.get(&other.key()) == Some(place)
        });
        Some(Renamed { column: column.clone(), now: others.next()?.part.clone() })
    });
    pairs.collect()
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

impl Renamed {
    /// What is told of it is told of the column of the files.
    pub(super) fn item(&self) -> Item {
        Item::of(&self.column)
    }

    pub(super) fn evidence(&self) -> String {
        let Fact { relation, part, .. } = &self.column;
        format!(
            "{relation}.{} has its place and its type: most likely {part} was renamed",
            self.now
        )
    }

    /// Whether all differences of an object come of the other name.
    pub(super) fn explains<'a>(
        &self,
        item: &Item,
        differences: impl Iterator<Item = &'a Difference>,
        expected: &SchemaState,
        found: &SchemaState,
    ) -> bool {
        let own = self.key(&self.column.part);
        let now = self.key(&self.now);
        let other = Item::of(&Fact { part: self.now.clone(), ..self.column.clone() });
        let needs = |state: &SchemaState, of: &Fact, key: &Key| {
            state.needs.get(&of.key()).is_some_and(|needs| needs.contains(key))
        };
        let mut all = differences.peekable();
        let explained = |difference: &Difference| {
            let Difference { object, change } = difference;
            matches!(change, Change::Differs { .. })
                && needs(expected, object, &own)
                && needs(found, object, &now)
        };
        all.peek().is_some() && *item != self.item() && (*item == other || all.all(explained))
    }

    fn key(&self, part: &str) -> Key {
        (Kind::Column, self.column.relation.clone(), part.to_owned())
    }

    /// Puts the statement that gives the name back in the place of a step that would add the column.
    pub(super) fn replace(&self, step: &mut Step) {
        let Fact { relation, part, .. } = &self.column;
        let rename = format!("alter table {relation} rename column {} to {part}", self.now);
        *step = Step::of(&self.column);
        step.leave("What uses the name of today fails afterwards.", [rename]);
    }
}
