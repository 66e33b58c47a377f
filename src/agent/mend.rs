//! From differences to the SQL that ends them, as far as that loses nothing.

use super::drift::{Change, Drift};
use super::object::{Kind, Object};
use super::reshape::{self, is_foreign_key, is_namesake, lacks_not_null, stand_in};

/// What to run, and what then is still different.
#[derive(Debug, Default)]
pub struct Mend {
    /// In this order.
    pub statements: Vec<String>,
    /// For a person: mending it could lose rows, or was not asked for.
    pub left: Vec<Drift>,
}

/// Creates what is missing, enables what is disabled, builds broken indexes anew, and renames an
/// index or a constraint that is only called otherwise. With `force` also replaces differing
/// indexes, policies, triggers, grants, defaults, owners and foreign keys, forbids nulls where there
/// are none, and takes away policies and grants that the templates know nothing of, since those
/// open doors.
///
/// Other tables, columns and constraints that are there are never changed.
pub fn mend(drift: &[Drift], force: bool) -> Mend {
    let mut mend = Mend::default();
    let missing: Vec<&Object> =
        drift.iter().filter(|d| d.change == Change::Missing).map(|d| &d.object).collect();
    mend.statements.extend(lock_agents(drift, force));
    // Numbers depend on the rows: a sequence is made only together with its column.
    let lost: Vec<&Object> = missing
        .iter()
        .filter(|object| object.kind == Kind::Sequence)
        .filter(|own| !missing.iter().any(|column| column.is_filled_by(own)))
        .copied()
        .collect();
    for entry in drift {
        let object = &entry.object;
        match &entry.change {
            Change::Missing if lost.iter().any(|lost| object == *lost || object.needs(lost)) => {
                mend.left.push(entry.clone());
            }
            Change::Missing | Change::Differs { .. } if has_other_column(object, drift) => {
                mend.left.push(entry.clone());
            }
            Change::Missing if object.kind == Kind::Column => {
                mend.statements.extend(column(object, &missing));
            }
            Change::Missing if stand_in(object, drift, force).is_some() => {
                let old = stand_in(object, drift, force);
                mend.statements.extend(old.map(|old| reshape::replace(object, old)));
            }
            Change::Missing if force && is_foreign_key(object) => {
                mend.statements.push(reshape::key(object, None));
            }
            Change::Missing => mend.statements.push(object.create()),
            Change::Differs { found } if replaceable(object, found, force) => {
                mend.statements.extend(object.drop());
                mend.statements.push(object.create());
            }
            Change::Differs { .. } if force && is_foreign_key(object) => {
                mend.statements.push(reshape::key(object, Some(&object.part)));
            }
            Change::Differs { found } if force && lacks_not_null(object, found) => {
                mend.statements.push(reshape::not_null(object));
            }
            Change::Extra if missing.iter().any(|m| stand_in(m, drift, force) == Some(object)) => {}
            Change::Extra if force && matches!(object.kind, Kind::Policy | Kind::Grant) => {
                mend.statements.extend(object.drop());
            }
            Change::Differs { .. } | Change::Extra => mend.left.push(entry.clone()),
        }
    }
    mend
}

/// With its default, which rows that are there get too, and as the owner of its sequence.
fn column(column: &Object, missing: &[&Object]) -> Vec<String> {
    let same = |object: &&&Object| {
        object.kind == Kind::Default
            && object.relation == column.relation
            && object.part == column.part
    };
    let default =
        missing.iter().find(same).map(|default| format!(" default {}", default.definition));
    let mut statements = vec![column.create() + &default.unwrap_or_default()];
    let own = missing.iter().filter(|own| own.kind == Kind::Sequence && column.is_filled_by(own));
    statements
        .extend(own.map(|own| format!("alter sequence {} owned by {}", own.relation, own.part)));
    statements
}

fn replaceable(object: &Object, found: &str, force: bool) -> bool {
    match object.kind {
        Kind::RowSecurity => true,
        Kind::Index if found.strip_suffix(" (invalid)") == Some(&object.definition) => true,
        Kind::Index | Kind::Policy | Kind::Trigger | Kind::Grant | Kind::Default | Kind::Owner => {
            force
        }
        Kind::Type
        | Kind::Sequence
        | Kind::Table
        | Kind::Column
        | Kind::Constraint
        | Kind::Publication => false,
    }
}

/// First of all: taken in the middle it could deadlock with who reads agents and then a table. To
/// drop a key locks what it refers to against readers too.
fn lock_agents(drift: &[Drift], force: bool) -> Option<String> {
    let keys = || drift.iter().filter(|d| refers_to_agents(&d.object));
    let missing = |d: &Drift| d.change == Change::Missing;
    let replaced = |d: &Drift| match d.change {
        Change::Missing => {
            stand_in(&d.object, drift, force).is_some_and(|old| !is_namesake(&d.object, old))
        }
        Change::Differs { .. } => force,
        Change::Extra => false,
    };
    let mode = if keys().any(replaced) {
        "access exclusive"
    } else if keys().any(missing) {
        "share row exclusive"
    } else {
        return None;
    };
    Some(format!("lock table public.agents in {mode} mode"))
}

/// Whether it is the default of a column that is of another type, or fills itself.
fn has_other_column(default: &Object, drift: &[Drift]) -> bool {
    let is_other = |d: &Drift| match &d.change {
        Change::Differs { found } => {
            let Object { kind, relation, part, .. } = &d.object;
            *kind == Kind::Column
                && *relation == default.relation
                && *part == default.part
                && !lacks_not_null(&d.object, found)
        }
        Change::Missing | Change::Extra => false,
    };
    default.kind == Kind::Default && drift.iter().any(is_other)
}

pub(super) fn refers_to_agents(object: &Object) -> bool {
    object.kind == Kind::Constraint && object.definition.contains(" REFERENCES public.agents(")
}
