//! Missing inheritance children: what they have by their parents alone is made by making them their parents' children.

use super::equivalents::{is_check, is_check_of_two};
use super::fact::Fact;
use super::kind::Kind;
use super::sql;

/// What a missing table inherits from. A partition is attached when it is whole.
pub(super) fn parents<'a>(home: &str, missing: &[&'a Fact]) -> impl Iterator<Item = &'a Fact> {
    let is_parent = move |fact: &&&Fact| {
        fact.kind == Kind::Parent && fact.home == home && fact.definition.is_empty()
    };
    missing.iter().filter(is_parent).copied()
}

/// Whether a missing table is made as its parents' child: it has a column by them alone.
pub(super) fn is_heir(home: &str, missing: &[&Fact]) -> bool {
    let has = |kind| missing.iter().any(|fact| fact.kind == kind && fact.home == home);
    has(Kind::Table) && has(Kind::InheritedColumn) && parents(home, missing).next().is_some()
}

/// Whether a missing column, or the default of one, is one that its table has by its parents alone.
pub(super) fn is_inherited(column: &Fact, missing: &[&Fact]) -> bool {
    missing.iter().any(|fact| {
        fact.kind == Kind::InheritedColumn
            && (&fact.relation, &fact.part) == (&column.relation, &column.part)
    })
}

/// Whether a missing thing comes with its table, which is made as a child, or with a column of its parents.
pub(crate) fn comes_by_parents(object: &Fact, missing: &[&Fact]) -> bool {
    let is_heir = || is_heir(&object.home, missing);
    // To be its parents' child again, a table needs all columns first.
    let is_child = || parents(&object.home, missing).next().is_none();
    object.kind == Kind::Parent && object.definition.is_empty() && is_heir()
        || object.kind == Kind::Column && is_inherited(object, missing) && (is_heir() || is_child())
}

/// Whether all that is missing of a column is that it comes by the parents alone. No statement takes it from its table.
pub(crate) fn is_own_for_good(object: &Fact, missing: &[&Fact]) -> bool {
    let is_column = |fact: &&Fact| fact.kind == Kind::Column && object.goes_with(fact);
    object.kind == Kind::InheritedColumn && !missing.iter().any(is_column)
}

/// Whether a missing check may come with one of a parent's.
pub(crate) fn is_check_of_child(check: &Fact, missing: &[&Fact]) -> bool {
    missing.iter().any(|other| is_check_of_two(check, other))
        || is_check(check) && is_heir(&check.home, missing)
}

/// Makes a missing column as it should be, once it has come by the parents: whether it takes nulls, and its default.
pub(crate) fn inherited_column(object: &Fact, missing: &[&Fact]) -> Vec<String> {
    let of = |kind| {
        let is_it = |fact: &&&Fact| {
            fact.kind == kind && (&fact.relation, &fact.part) == (&object.relation, &object.part)
        };
        missing.iter().find(is_it)
    };
    let Some(column) = of(Kind::Column) else { return Vec::new() };
    let default = match of(Kind::Default) {
        Some(default) => Some(default.create()),
        None if column.definition.contains(" generated ") => None,
        None => Some(object.fill("alter table only {relation} alter column {part} drop default")),
    };
    sql::not_null_of_child(column).into_iter().chain(default).collect()
}
