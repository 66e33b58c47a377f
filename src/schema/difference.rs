//! Where an agent differs from what the templates make.

use std::collections::HashMap;

use super::fact::Fact;
use super::kind::Kind;
use super::sql::sequence_options;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// As the templates make it; an extra one as it was found.
    pub object: Fact,
    /// What is the matter with it.
    pub change: Change,
}

/// What is the matter with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is not there.
    Missing,
    /// A foreign key that a deletion has taken off, or a name that something else has taken; it belongs there.
    Removed {
        /// What was done to it instead of taking it off; `None`: it is off.
        found: Option<String>,
        /// Why a person has to give it back; `None`: nobody has to.
        obstacle: Option<String>,
        /// For that person.
        statement: Option<String>,
    },
    /// It is there, and defined otherwise.
    Differs { found: String },
    /// The templates know nothing of it.
    Extra,
}

impl Change {
    /// As people and programs are told: `missing`, `differs` or `extra`.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Missing | Self::Removed { found: None, .. } => "missing",
            Self::Removed { found: Some(_), .. } | Self::Differs { .. } => "differs",
            Self::Extra => "extra",
        }
    }
}

impl Difference {
    /// Whether something is missing that the template's own statements make.
    pub(crate) fn is_whole(&self) -> bool {
        self.change == Change::Missing && self.object.kind.rule().whole
    }
}

/// What is to be done about expected objects, in the order of their making, then what is extra.
pub(crate) fn compare(expected: &[Fact], found: &[Fact]) -> Vec<Difference> {
    let mut rest: HashMap<_, &Fact> = found.iter().map(|fact| (key(fact), fact)).collect();
    let mut drift = Vec::new();
    for object in expected {
        let change = match rest.remove(&key(object)) {
            Some(found) if object.is(&found.definition) => continue,
            Some(found) => Change::Differs { found: found.definition.clone() },
            None => Change::Missing,
        };
        drift.push(Difference { object: object.clone(), change });
    }
    let mut extra: Vec<&Fact> = rest.into_values().collect();
    extra.sort_by(|a, b| key(a).cmp(&key(b)));
    let extra = extra.into_iter().cloned();
    drift.extend(extra.map(|object| Difference { object, change: Change::Extra }));
    drift
}

fn key(fact: &Fact) -> (Kind, &str, &str) {
    (fact.kind, &fact.relation, &fact.part)
}

/// Adds foreign keys that are off. One that the templates make is there already, as a difference.
pub(crate) fn add_removed(drift: &mut Vec<Difference>, removed: Vec<Difference>) {
    for key in removed {
        let is_it = |known: &&mut Difference| known.object.is_same(&key.object);
        let by_hand = matches!(key.change, Change::Removed { obstacle: Some(_), .. });
        match drift.iter_mut().find(is_it) {
            Some(known) if by_hand || known.change == Change::Extra => *known = key,
            Some(_) => {}
            None => drift.push(key),
        }
    }
}

/// The same without what a missing table, or a missing column, takes with it, and without what an extra one brings.
pub(crate) fn headlines(drift: &[Difference]) -> Vec<&Difference> {
    let of = |wanted: Change| {
        let them = drift.iter().filter(move |drift| drift.change == wanted);
        them.map(|drift| &drift.object).collect::<Vec<&Fact>>()
    };
    let (gone, extra) = (of(Change::Missing), of(Change::Extra));
    let follows = |entry: &&Difference| {
        let Difference { object, change } = entry;
        gone.iter().any(|gone| object.goes_with(gone))
            || drift.iter().any(|table| goes_unlogged_with(entry, table))
            || *change == Change::Extra
                && (extra.iter().any(|extra| object.goes_with(extra))
                    || gone.iter().any(|gone| came_from(object, gone)))
    };
    drift.iter().filter(|drift| !follows(drift)).collect()
}

/// Whether a sequence differs in nothing but that it is logged or not: it follows its table, which differs.
fn goes_unlogged_with(sequence: &Difference, table: &Difference) -> bool {
    let Change::Differs { found } = &sequence.change else { return false };
    let is_table =
        table.object.kind == Kind::Table && matches!(table.change, Change::Differs { .. });
    sequence.object.kind == Kind::Sequence
        && sequence_options(&sequence.object.definition) == sequence_options(found)
        && is_table
        && table.object.home == sequence.object.home
}

/// Whether a detached partition has had it from its parent.
fn came_from(object: &Fact, parent: &Fact) -> bool {
    parent.kind == Kind::Parent
        && parent.home == object.home
        && matches!(object.kind, Kind::Constraint | Kind::Index | Kind::Trigger)
}
