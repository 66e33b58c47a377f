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
    if drift.iter().any(|d| d.change == Change::Missing && refers_to_agents(&d.object)) {
        // First: taken in the middle it could deadlock with who reads agents and then a table.
        mend.statements.push("lock table public.agents in share row exclusive mode".to_owned());
    }
    let missing = |kind, relation: &str, part: &str| {
        drift.iter().map(|d| (&d.change, &d.object)).find_map(|(change, o)| {
            let same = o.kind == kind && o.relation == relation && o.part == part;
            (same && *change == Change::Missing).then_some(o)
        })
    };
    let mut owned = Vec::new();
    for entry in drift {
        let object = &entry.object;
        match &entry.change {
            Change::Missing if object.kind == Kind::Sequence => {
                let table = object.part.rsplit_once('.').map_or("", |(table, _)| table);
                if missing(Kind::Table, table, "").is_none() {
                    mend.left.push(entry.clone()); // its numbers depend on the rows
                    continue;
                }
                mend.statements.push(object.create());
                owned.push(format!("alter sequence {} owned by {}", object.relation, object.part));
            }
            Change::Missing if object.kind == Kind::Column => {
                let default = missing(Kind::Default, &object.relation, &object.part);
                let filled = default.map(|d| format!(" default {}", d.definition));
                mend.statements.push(object.create() + &filled.unwrap_or_default());
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
    mend.statements.extend(owned);
    mend
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
