//! From differences to the SQL that ends them, as far as that loses nothing.

use super::Prefix;
use super::drift::{Change, Drift};
use super::object::{Kind, Object};
use super::reshape::{self, is_foreign_key, is_namesake, is_unchecked, lacks_not_null, stand_in};
use super::shared_lock::{LockMode, outside};

/// What to run, and what then is still different.
#[derive(Debug, Default)]
pub struct Mend {
    /// In this order.
    pub(super) statements: Vec<String>,
    /// Comes last: what locks tables that all agents share.
    pub(super) keys: Option<Keys>,
    /// For a person: mending it could lose rows, or was not asked for.
    pub left: Vec<Drift>,
}

/// Foreign keys to tables outside.
#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) mode: LockMode,
    /// The tables outside.
    pub(super) shared: Vec<String>,
    /// The agent's tables that get them.
    pub(super) own: Vec<String>,
    pub(super) statements: Vec<String>,
}

impl Mend {
    /// As it could be run in psql, each statement without its semicolon.
    pub fn script(&self) -> Vec<String> {
        let mut script = self.statements.clone();
        if let Some(keys) = &self.keys {
            script.push(keys.lock());
            script.extend(keys.statements.clone());
        }
        script
    }
}

impl Keys {
    fn add(&mut self, statements: Vec<String>, outside: Vec<String>, key: &Object) {
        self.statements.extend(statements);
        self.shared.extend(outside);
        self.own.push(key.relation.clone());
    }

    fn lock(&self) -> String {
        let list = |names: &[String]| {
            let names: Vec<String> =
                names.iter().map(|name| format!("'{}'", name.replace('\'', "''"))).collect();
            format!("array[{}]::text[]", names.join(", "))
        };
        let (mode, shared, own) = (self.mode.as_str(), list(&self.shared), list(&self.own));
        format!("select provisioning.lock_shared('{mode}', {shared}, {own})")
    }
}

/// Creates what is missing, enables what is disabled, builds broken indexes anew, and renames an
/// index or a constraint that is only called otherwise. With `force` also replaces differing
/// indexes, policies, triggers, grants, defaults, owners and foreign keys, forbids nulls where there
/// are none, and takes away policies and grants that the templates know nothing of, since those
/// open doors.
///
/// Other tables, columns and constraints that are there are never changed.
pub fn mend(prefix: &Prefix, drift: &[Drift], force: bool) -> Mend {
    let mut mend = Mend::default();
    let missing: Vec<&Object> =
        drift.iter().filter(|d| d.change == Change::Missing).map(|d| &d.object).collect();
    let mut keys = Keys::default();
    // Numbers depend on the rows: a sequence is made only together with its column.
    let lost: Vec<&Object> = missing
        .iter()
        .filter(|object| object.kind == Kind::Sequence)
        .filter(|own| !missing.iter().any(|column| column.is_filled_by(own)))
        .copied()
        .collect();
    for entry in drift {
        let (object, before) = (&entry.object, mend.statements.len());
        let referred =
            if is_foreign_key(object) { outside(&object.definition, prefix) } else { Vec::new() };
        let is_outside = !referred.is_empty();
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
                mend.statements.extend(old.map(|old| reshape::replace(object, old, is_outside)));
            }
            Change::Missing if force && is_foreign_key(object) => {
                mend.statements.push(reshape::key(object, None, is_outside));
            }
            Change::Missing | Change::Removed { obstacle: None, .. } if is_outside => {
                mend.statements.push(reshape::unchecked(object));
            }
            // Without a lock on the table outside.
            Change::Differs { found } if is_outside && is_unchecked(object, found) => {
                mend.statements.push(reshape::check(object));
                continue;
            }
            Change::Missing => mend.statements.push(object.create()),
            Change::Differs { found } if replaceable(object, found, force) => {
                mend.statements.extend(object.drop());
                mend.statements.push(object.create());
            }
            Change::Differs { .. } if force && is_foreign_key(object) => {
                mend.statements.push(reshape::key(object, Some(&object.part), is_outside));
            }
            Change::Differs { found } if force && lacks_not_null(object, found) => {
                mend.statements.push(reshape::not_null(object));
            }
            Change::Extra if missing.iter().any(|m| stand_in(m, drift, force) == Some(object)) => {}
            Change::Extra if force && matches!(object.kind, Kind::Policy | Kind::Grant) => {
                mend.statements.extend(object.drop());
            }
            Change::Differs { .. } | Change::Extra | Change::Removed { .. } => {
                mend.left.push(entry.clone());
            }
        }
        if is_outside && mend.statements.len() > before {
            keys.add(mend.statements.split_off(before), referred, object);
        }
    }
    if !keys.statements.is_empty() {
        keys.mode = mode(drift, force);
        mend.keys = Some(keys);
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

/// To drop a key locks what it refers to against readers too.
fn mode(drift: &[Drift], force: bool) -> LockMode {
    let replaced = |d: &Drift| match d.change {
        Change::Missing => {
            stand_in(&d.object, drift, force).is_some_and(|old| !is_namesake(&d.object, old))
        }
        Change::Differs { .. } => force,
        Change::Extra | Change::Removed { .. } => false,
    };
    if drift.iter().filter(|d| is_foreign_key(&d.object)).any(replaced) {
        LockMode::AccessExclusive
    } else {
        LockMode::ShareRowExclusive
    }
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
        Change::Missing | Change::Extra | Change::Removed { .. } => false,
    };
    default.kind == Kind::Default && drift.iter().any(is_other)
}

pub(super) fn refers_to_agents(object: &Object) -> bool {
    object.kind == Kind::Constraint && object.definition.contains(" REFERENCES public.agents(")
}
