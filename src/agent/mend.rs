//! From differences to the SQL that ends them, as far as that loses nothing.

use super::drift::{Change, Drift};
use super::object::{Kind, Object};

/// What to run, and what then is still different.
#[derive(Debug, Default)]
pub struct Mend {
    /// In this order.
    pub statements: Vec<String>,
    /// For a person: mending it could lose rows, or was not asked for.
    pub left: Vec<Drift>,
}

/// Creates what is missing, enables what is disabled and builds broken indexes anew. With `force`
/// also replaces differing indexes, policies, triggers, grants, defaults and owners, and takes
/// away policies and grants that the templates know nothing of, since those open doors.
///
/// Tables, columns and constraints that are there are never changed.
pub fn mend(drift: &[Drift], force: bool) -> Mend {
    let mut mend = Mend::default();
    let missing: Vec<&Object> =
        drift.iter().filter(|d| d.change == Change::Missing).map(|d| &d.object).collect();
    if missing.iter().any(|object| refers_to_agents(object)) {
        // First: taken in the middle it could deadlock with who reads agents and then a table.
        mend.statements.push("lock table public.agents in share row exclusive mode".to_owned());
    }
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
            Change::Missing if object.kind == Kind::Column => {
                mend.statements.extend(column(object, &missing));
            }
            Change::Missing => mend.statements.push(object.create()),
            Change::Differs { found } if replaceable(object, found, force) => {
                mend.statements.extend(object.drop());
                mend.statements.push(object.create());
            }
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

fn refers_to_agents(object: &Object) -> bool {
    object.kind == Kind::Constraint && object.definition.contains(" REFERENCES public.agents(")
}
