//! Partitions that were detached or attached: what a table has of its parent goes and comes with that.

use super::identity;
use super::item::Item;
use super::schema_state::SchemaState;
use crate::schema::{Change, Difference, Fact, Kind};

/// The table with which an object went or came, where it is as the parent has it.
pub(super) fn moved_with(
    difference: &Difference,
    all: &[Difference],
    [expected, found]: [&SchemaState; 2],
) -> Option<Item> {
    let Difference { object, change } = difference;
    let is_own =
        |it: &&Difference| it.object.kind == Kind::Parent && it.object.relation == object.relation;
    all.iter().filter(is_own).find_map(|parent| {
        let (detached, attached) =
            (parent.change == Change::Missing, parent.change == Change::Extra);
        let goes = match change {
            // Columns are its own from then on, or the parent's.
            Change::Missing if object.kind == Kind::InheritedColumn => detached,
            Change::Extra if object.kind == Kind::InheritedColumn => attached,
            Change::Extra => detached && has_like(expected, &parent.object, object),
            Change::Missing => attached && has_like(found, &parent.object, object),
            // A partition numbers its rows as the parent does.
            Change::Differs { found } => {
                (detached || attached)
                    && object.kind == Kind::Column
                    && identity::is_changed(&object.definition, found)
            }
            Change::Removed { .. } => false,
        };
        goes.then(|| Item::of(&parent.object))
    })
}

/// Whether the parent has such an object.
fn has_like(state: &SchemaState, parent: &Fact, object: &Fact) -> bool {
    let mut of_parent = state
        .facts
        .values()
        .filter(|fact| fact.kind == object.kind && fact.relation == parent.part);
    if object.kind == Kind::Constraint {
        of_parent.any(|fact| fact.definition == object.definition)
    } else if object.kind == Kind::Trigger {
        of_parent.any(|fact| fact.part == object.part)
    } else {
        object.kind == Kind::Index && of_parent.any(|fact| keys(fact) == keys(object))
    }
}

/// Whether an index is unique, and what it is on.
fn keys(index: &Fact) -> (bool, Option<&str>) {
    let definition = index.definition.as_str();
    let is_unique = definition.starts_with("CREATE UNIQUE ");
    (is_unique, definition.split_once(" USING ").map(|(_, keys)| keys))
}
