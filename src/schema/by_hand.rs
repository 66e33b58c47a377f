//! What a person can run about a difference that no repair ends, or that one repair ends with others.

use super::difference::{Change, Difference};
use super::fact::Fact;
use super::kind::Kind;
use super::sql::alter_sequence;

impl Difference {
    /// What a person can run instead, where one line does it.
    pub(crate) fn by_hand(&self) -> Option<String> {
        let object = &self.object;
        match &self.change {
            // A table is more than one statement, an identity goes with its column, and a column that is a child's own
            // stays so.
            Change::Missing
                if matches!(object.kind, Kind::Table | Kind::Identity | Kind::InheritedColumn) =>
            {
                None
            }
            Change::Missing => Some(object.create()),
            Change::Extra => object.drop(),
            Change::Differs { found } => changed(object, found),
            Change::Removed { statement, .. } => statement.clone(),
        }
    }
}

/// Makes something as it should be that is there and is not.
fn changed(object: &Fact, found: &str) -> Option<String> {
    const MADE_AGAIN: [Kind; 6] = [
        Kind::Name,
        Kind::SequenceName,
        Kind::Owner,
        Kind::RowSecurity,
        Kind::Position,
        Kind::Identity,
    ];
    if MADE_AGAIN.contains(&object.kind) {
        return Some(object.create()).filter(|statement| !statement.is_empty());
    }
    if object.kind == Kind::Sequence {
        return object.owned_again(found).or_else(|| Some(alter_sequence(object, found)));
    }
    if object.kind == Kind::Column {
        return object.identity_again(found).or_else(|| column(object, found));
    }
    if object.kind == Kind::Table {
        return table(object, found);
    }
    let anew = matches!(object.kind, Kind::Parent | Kind::Publication);
    object.drop().filter(|_| anew).map(|drop| format!("{drop}; {}", object.create()))
}

/// Allows nulls, or turns the values into the right type. Nulls that are forbidden again are for a repair.
fn column(column: &Fact, found: &str) -> Option<String> {
    const NOT_NULL: &str = " not null";
    let (own, wanted) = match column.definition.strip_suffix(NOT_NULL) {
        Some(own) => (own, true),
        None => (column.definition.as_str(), false),
    };
    let (is, is_not_null) = match found.strip_suffix(NOT_NULL) {
        Some(is) => (is, true),
        None => (found, false),
    };
    let generates = |definition: &str| definition.contains(" generated ");
    if own == is {
        let free = is_not_null && !wanted;
        return free
            .then(|| column.fill("alter table {relation} alter column {part} drop not null"));
    }
    if generates(own) || generates(is) {
        return None;
    }
    let plain = own.split(" collate ").next().unwrap_or(own);
    let change = format!(
        "alter table {{relation}} alter column {{part}} type {own} using {{part}}::{plain}"
    );
    Some(column.fill(&change))
}

/// Its persistence and its storage parameters. What it is partitioned by nobody can change.
fn table(table: &Fact, found: &str) -> Option<String> {
    let (own, is) = (Storage::of(&table.definition), Storage::of(found));
    if own.parted != is.parted {
        return None;
    }
    let name = |option: &str| option.split('=').next().unwrap_or(option).to_owned();
    let reset: Vec<String> =
        is.options.iter().filter(|set| !own.options.contains(set)).map(|set| name(set)).collect();
    let mut actions = Vec::new();
    if own.persistence != is.persistence {
        actions.push(format!("set {}", own.persistence));
    }
    if !reset.is_empty() {
        actions.push(format!("reset ({})", reset.join(", ")));
    }
    let set: Vec<&str> = own.options.into_iter().filter(|set| !is.options.contains(set)).collect();
    if !set.is_empty() {
        actions.push(format!("set ({})", set.join(", ")));
    }
    (!actions.is_empty()).then(|| format!("alter table {} {}", table.relation, actions.join(", ")))
}

/// The definition of a table in its parts.
struct Storage<'a> {
    persistence: &'a str,
    /// By what it has partitions; empty where it has none.
    parted: &'a str,
    options: Vec<&'a str>,
}

impl<'a> Storage<'a> {
    fn of(definition: &'a str) -> Self {
        let (head, options) = definition.split_once(" with (").unwrap_or((definition, ""));
        let (persistence, parted) = head.split_once(' ').unwrap_or((head, ""));
        let options = options.strip_suffix(')').unwrap_or(options);
        let options = options.split(", ").filter(|option| !option.is_empty()).collect();
        Self { persistence, parted, options }
    }
}
