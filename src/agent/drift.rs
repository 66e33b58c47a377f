//! Where an agent differs from what the templates make.

use std::collections::HashMap;

use super::object::Object;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// As the templates make it; an extra one as it was found.
    pub object: Object,
    /// What is the matter with it.
    pub change: Change,
}

/// What is the matter with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is not there.
    Missing,
    /// A foreign key that a deletion has taken off, and that belongs there.
    Removed {
        /// Why a person has to give it back; `None`: nobody has to.
        obstacle: Option<String>,
        /// For that person.
        statement: Option<String>,
    },
    /// It is there, and defined otherwise.
    Differs {
        /// How.
        found: String,
    },
    /// The templates know nothing of it.
    Extra,
}

/// What is to be done about expected objects, in the order of their making, then what is extra.
pub(super) fn compare(expected: Vec<Object>, found: Vec<Object>) -> Vec<Drift> {
    let mut rest: HashMap<_, _> =
        found.into_iter().map(|o| ((o.kind, o.relation, o.part), o.definition)).collect();
    let mut drift = Vec::new();
    for object in expected {
        let key = (object.kind, object.relation.clone(), object.part.clone());
        match rest.remove(&key) {
            Some(found) if object.is(&found) => {}
            Some(found) => drift.push(Drift { object, change: Change::Differs { found } }),
            None => drift.push(Drift { object, change: Change::Missing }),
        }
    }
    let mut extra: Vec<_> = rest
        .into_iter()
        .map(|((kind, relation, part), definition)| Object {
            kind,
            relation,
            part,
            definition,
            echo: None,
        })
        .collect();
    extra.sort_by(|a, b| (a.kind, &a.relation, &a.part).cmp(&(b.kind, &b.relation, &b.part)));
    drift.extend(extra.into_iter().map(|object| Drift { object, change: Change::Extra }));
    drift
}

/// Adds foreign keys that are off. One that the templates make is there already, as a difference.
pub(super) fn add_removed(drift: &mut Vec<Drift>, removed: Vec<Drift>) {
    for key in removed {
        let is_it = |known: &&mut Drift| {
            let (known, key) = (&known.object, &key.object);
            (known.kind, &known.relation, &known.part) == (key.kind, &key.relation, &key.part)
        };
        let by_hand = matches!(key.change, Change::Removed { obstacle: Some(_), .. });
        match drift.iter_mut().find(is_it) {
            Some(known) if by_hand || known.change == Change::Extra => *known = key,
            Some(_) => {}
            None => drift.push(key),
        }
    }
}

/// The same without what a missing table, or a missing column, takes with it.
pub fn headlines(drift: &[Drift]) -> Vec<&Drift> {
    let gone: Vec<&Object> = drift
        .iter()
        .filter(|drift| drift.change == Change::Missing)
        .map(|drift| &drift.object)
        .collect();
    let follows = |drift: &&Drift| gone.iter().any(|gone| drift.object.goes_with(gone));
    drift.iter().filter(|drift| !follows(drift)).collect()
}
