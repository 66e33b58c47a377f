//! Sequences of serial and identity columns that somebody renamed, or parted from their columns. The catalog ties each to its
//! column, whatever its name; and a default goes on to draw from one that is parted.

use std::collections::HashMap;

use super::difference::{Change, Difference};
use super::fact::{Fact, PARTED, constant};
use super::kind::Kind;
use super::sql::bare;
use crate::sql_text::quoted;

/// What stands before a sequence's name where something else may have rights or comments.
const HEAD: &str = "sequence ";

/// One difference for each sequence that stands under another name. All that was found of it is then told under its right
/// name, so that nothing of it seems to be missing. Another sequence of the column under that name is in the way, and not told.
///
/// One difference, too, for each sequence that is parted from its column. What else there is about it is told when it is
/// back.
pub(crate) fn take_back(expected: &[Fact], found: &mut Vec<Fact>) -> Vec<Difference> {
    let mut right_names = HashMap::new();
    let mut renamed = Vec::new();
    let mut parted = Vec::new();
    let is_of_column = |fact: &&Fact| matches!(fact.kind, Kind::Sequence | Kind::Identity);
    for wanted in expected.iter().filter(is_of_column) {
        let Some(now) = stand_in(wanted, expected, found) else {
            if is_parted(wanted, found) {
                parted.push(wanted);
            }
            continue;
        };
        let (now, right) = (now.relation.clone(), wanted.relation.clone());
        renamed.push(Fact {
            kind: Kind::SequenceName,
            home: wanted.home.clone(),
            relation: now.clone(),
            part: String::new(),
            definition: right.clone(),
            echo: None,
        });
        if found.iter().any(|fact| fact.is_same(wanted)) {
            found.retain(|fact| !is_about(fact, &right));
        }
        right_names.insert(now, right);
    }
    if !right_names.is_empty() {
        for fact in found.iter_mut() {
            rename(fact, &right_names);
        }
    }
    let differs = |object: Fact, now: String| {
        let change = Change::Differs { found: now };
        Difference { object, change }
    };
    let mut drift: Vec<Difference> = in_order(renamed)
        .into_iter()
        .map(|object| {
            let now = object.relation.clone();
            differs(object, now)
        })
        .collect();
    for wanted in parted {
        found.retain(|fact| !is_about(fact, &wanted.relation));
        found.extend(expected.iter().filter(|fact| is_about(fact, &wanted.relation)).cloned());
        drift.push(differs(wanted.clone(), PARTED.to_owned()));
    }
    drift
}

/// Renamed sequences in an order in which each gets a name that is free by then; their parts are the statements.
///
/// Those that have one another's names go round by a name that is nobody's. The first one's statements do that for all, and the
/// others have none.
fn in_order(mut left: Vec<Fact>) -> Vec<Fact> {
    let mut ordered = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let is_free = |fact: &Fact| left.iter().all(|other| other.relation != fact.definition);
        if let Some(at) = left.iter().position(is_free) {
            let fact = left.remove(at);
            let part = rename_to(&fact.relation, &fact.definition);
            ordered.push(Fact { part, ..fact });
            continue;
        }
        let first = left.remove(0);
        let schema = first.relation.strip_suffix(bare(&first.relation)).unwrap_or_default();
        let aside = format!("{schema}{}", quoted(&format!("{}_aside", first.home)));
        let mut statements = vec![rename_to(&first.relation, &aside)];
        let mut free = first.relation.clone();
        let mut others = Vec::new();
        while let Some(at) = left.iter().position(|fact| fact.definition == free) {
            let fact = left.remove(at);
            statements.push(rename_to(&fact.relation, &fact.definition));
            free.clone_from(&fact.relation);
            others.push(fact);
        }
        statements.push(rename_to(&aside, &first.definition));
        ordered.push(Fact { part: statements.join("; "), ..first });
        ordered.extend(others);
    }
    ordered
}

/// Both are in the table's schema: a sequence goes where its table goes.
fn rename_to(sequence: &str, right: &str) -> String {
    format!("alter sequence {sequence} rename to {}", bare(right))
}

/// Whether the column of a sequence that was not found draws from it all the same.
fn is_parted(wanted: &Fact, found: &[Fact]) -> bool {
    wanted.kind == Kind::Sequence
        && !found.iter().any(|fact| fact.is_same(wanted))
        && found.iter().any(|default| fills(wanted, default))
}

/// What somebody renamed: what the column's default draws from, else what alone belongs to the column.
fn stand_in<'a>(wanted: &Fact, expected: &[Fact], found: &'a [Fact]) -> Option<&'a Fact> {
    let others: Vec<&Fact> = found
        .iter()
        .filter(|fact| fact.kind == wanted.kind && fact.part == wanted.part)
        .filter(|fact| !expected.iter().any(|known| known.is_same(fact)))
        .collect();
    let is_drawn_from = |other: &&&Fact| found.iter().any(|default| fills(other, default));
    match others.as_slice() {
        [only] if !found.iter().any(|fact| fact.is_same(wanted)) => Some(only),
        others => others.iter().find(is_drawn_from).copied(),
    }
}

/// Whether it is the default of the column that the sequence belongs to, and draws from it.
fn fills(sequence: &Fact, default: &Fact) -> bool {
    default.draws_from(sequence) && default.fill("{relation}.{part}") == sequence.part
}

/// Whether a default draws from another sequence than it should. The one that it should draw from may be behind the rows.
pub(super) fn draws_from_another(default: &Fact, found: &str) -> bool {
    let sequence = |text| relation_in(text).filter(|_| default.kind == Kind::Default);
    sequence(&default.definition).zip(sequence(found)).is_some_and(|(own, other)| own != other)
}

/// The relation that an expression names.
fn relation_in(expression: &str) -> Option<&str> {
    let (before, _) = expression.split_once("'::regclass")?;
    before.rsplit_once('\'').map(|(_, name)| name)
}

/// Whether it is a sequence, or hangs on it.
fn is_about(fact: &Fact, sequence: &str) -> bool {
    fact.relation.strip_prefix(HEAD).unwrap_or(&fact.relation) == sequence
}

/// Tells a fact as if no sequence had another name.
fn rename(fact: &mut Fact, right_names: &HashMap<String, String>) {
    if let Some(right) = right_names.get(&fact.relation) {
        fact.relation.clone_from(right);
    }
    for text in [&mut fact.relation, &mut fact.part] {
        if let Some(right) = text.strip_prefix(HEAD).and_then(|name| right_names.get(name)) {
            *text = format!("{HEAD}{right}");
        }
    }
    let used = right_names.iter().find(|(now, _)| fact.definition.contains(&constant(now)));
    if let Some((now, right)) = used {
        fact.definition = fact.definition.replace(&constant(now), &constant(right));
    }
}
