//! What a child has by its parents alone: it comes with theirs, and an inheritance child is made as theirs.

use super::equivalents::{is_check, is_check_of_two};
use super::fact::Fact;
use super::kind::Kind;
use super::sql;

/// The parents that a table lacks.
pub(super) fn parents<'a>(home: &str, missing: &[&'a Fact]) -> impl Iterator<Item = &'a Fact> {
    let is_parent = move |fact: &&&Fact| fact.kind == Kind::Parent && fact.home == home;
    missing.iter().filter(is_parent).copied()
}

/// Whether it makes a table a partition. An inheritance child has no bounds.
pub(super) fn is_bound(parent: &Fact) -> bool {
    parent.kind == Kind::Parent && !parent.definition.is_empty()
}

/// Whether a missing table is made as its parents' child. A partition is attached when it is whole, and so is a child that has
/// all of its columns and checks itself.
pub(super) fn is_heir(home: &str, missing: &[&Fact]) -> bool {
    let of_table = || missing.iter().filter(|fact| fact.home == home);
    let is_own = |check: &Fact| {
        of_table().any(|fact| fact.kind == Kind::OwnConstraint && fact.is_beside(check))
    };
    of_table().any(|fact| fact.kind == Kind::Table)
        && parents(home, missing).any(|parent| parent.definition.is_empty())
        && of_table()
            .any(|fact| fact.kind == Kind::InheritedColumn || is_check(fact) && !is_own(fact))
}

/// Whether a missing column is one that its table has by its parents alone.
pub(super) fn is_inherited(column: &Fact, missing: &[&Fact]) -> bool {
    let is_it = |fact: &&Fact| fact.kind == Kind::InheritedColumn && fact.is_beside(column);
    missing.iter().any(is_it)
}

/// Whether a missing thing comes with its table, which is made as a child, or with its parents'.
pub(crate) fn comes_by_parents(object: &Fact, missing: &[&Fact]) -> bool {
    let is_heir = || is_heir(&object.home, missing);
    // A table that has lost its parents needs all columns before it gets them back.
    let is_child = || parents(&object.home, missing).next().is_none();
    object.kind == Kind::Parent && object.definition.is_empty() && is_heir()
        || object.kind == Kind::Column && is_inherited(object, missing) && (is_heir() || is_child())
}

/// Whether all that is missing of a column is that it comes by the parents alone, and no statement takes it from its table.
pub(crate) fn is_own_for_good(object: &Fact, missing: &[&Fact]) -> bool {
    let is_column = |fact: &&Fact| fact.kind == Kind::Column && fact.is_beside(object);
    object.kind == Kind::InheritedColumn
        && !missing.iter().any(is_column)
        // Who attaches a partition takes its columns from it.
        && parents(&object.home, missing).all(|parent| parent.definition.is_empty())
}

/// Whether a missing check may come with one of a parent's.
pub(crate) fn is_check_of_child(check: &Fact, missing: &[&Fact]) -> bool {
    missing.iter().any(|other| is_check_of_two(check, other))
        || is_check(check) && is_heir(&check.home, missing)
}

/// Makes a table as its parents' child, with these columns of its own.
pub(super) fn child(
    table: &Fact,
    own: &[&Fact],
    definitions: &[String],
    missing: &[&Fact],
) -> Vec<String> {
    const COMPUTED: &str = " generated always as (";
    let parents = parents(&table.home, missing).filter(|parent| parent.definition.is_empty());
    let parents: Vec<&str> = parents.map(|parent| parent.part.as_str()).collect();
    let create = |columns: &[String]| sql::table_of(table, &columns.join(", "), &parents);
    let inheriting: Vec<String> = definitions
        .iter()
        .map(|column| match column.split_once(COMPUTED) {
            Some((plain, rest)) if rest.ends_with(" not null") => plain.to_owned() + " not null",
            Some((plain, _)) => plain.to_owned(),
            None => column.clone(),
        })
        .collect();
    let mut statement = create(definitions);
    if inheriting != definitions {
        // PostgreSQL before 16 takes no expression for a column that the parent has, too: it has the parent's.
        statement = format!(
            "do $fix$ begin {statement}; exception when invalid_column_definition then {}; end $fix$",
            create(&inheriting)
        );
    }
    let bare = own.iter().filter(|column| default_of(column, missing).is_none());
    std::iter::once(statement).chain(bare.filter_map(|column| no_default(column))).collect()
}

/// Makes a missing column as it should be, once it has come by the parents: whether it takes nulls, and its default.
pub(crate) fn inherited_column(object: &Fact, missing: &[&Fact]) -> Vec<String> {
    let is_it = |fact: &&&Fact| fact.kind == Kind::Column && fact.is_beside(object);
    let column = missing.iter().find(is_it).filter(|column| comes_by_parents(column, missing));
    let Some(column) = column else { return Vec::new() };
    let default = match default_of(column, missing) {
        Some(default) => Some(default.create()),
        None => no_default(column),
    };
    sql::not_null_of_child(column).into_iter().chain(default).collect()
}

/// A missing column's default.
pub(super) fn default_of<'a>(column: &Fact, missing: &[&'a Fact]) -> Option<&'a Fact> {
    let is_it = |fact: &&&Fact| fact.kind == Kind::Default && fact.is_beside(column);
    missing.iter().find(is_it).copied()
}

/// Takes the default from a column that its parent may have given one. `None`: it fills itself.
fn no_default(column: &Fact) -> Option<String> {
    let is_generated = column.definition.contains(" generated ");
    (!is_generated)
        .then(|| column.fill("alter table only {relation} alter column {part} drop default"))
}
