//! How a database differs, and what makes that good.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use super::by_hand::by_hand;
use super::facts::Owner;
use super::names::{Names, OWNER, is_for_others};
use crate::schema::{Change, Difference, Fact, Kind};
use crate::sql_text::pasteable;

/// What is not looked at, for people.
pub const NOT_COMPARED: &str = "what other roles than PUBLIC, anon, authenticated and service_role may do \
     (deploy/roles.sql gives the worker's role its rights); publications; what a project has added to our tables of \
     schema public: columns, defaults, constraints, indexes and triggers; other triggers on auth.users; which ids agents get; replica \
     identity; policies for other roles, even where a role of the API is a member of one";

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct BaseDifference {
    /// `missing`, `differs` or `extra`.
    pub change: &'static str,
    /// What the object is.
    pub kind: &'static str,
    /// Its name.
    pub object: String,
    /// Its definition in this program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// Its definition in the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// To whom an additional object belongs, where that is not the owner of the base schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What makes it good, and as whom.
    pub fix: String,
    /// The same for the program.
    #[serde(skip)]
    pub remedy: Remedy,
    /// Whether the service needs the object to work.
    #[serde(skip)]
    pub vital: bool,
    #[serde(skip)]
    pub(super) drift: Difference,
}

/// Who makes a difference good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// `migrate repair`.
    Repair,
    /// `migrate repair --force`: something is taken away.
    Force,
    /// A person.
    ByHand,
}

impl BaseDifference {
    fn new(drift: Difference, all: &[Difference], owner: &Owner) -> Self {
        let object = &drift.object;
        let text = |definition: &str| {
            (!definition.is_empty()).then(|| definition.replace(OWNER, &owner.name))
        };
        let (change, expected, found) = match &drift.change {
            Change::Missing | Change::Removed { .. } => ("missing", text(&object.definition), None),
            Change::Differs { found } => ("differs", text(&object.definition), text(found)),
            Change::Extra => ("extra", None, text(&object.definition)),
        };
        let remedy = remedy(&drift);
        let fix = match remedy {
            Remedy::Repair => format!("as {} run `agent-provisioner migrate repair`", owner.name),
            Remedy::Force => {
                format!("as {} run `agent-provisioner migrate repair --force`", owner.name)
            }
            Remedy::ByHand => by_hand(&drift, all, owner),
        };
        Self {
            change,
            kind: object.kind.as_str(),
            object: object.to_string(),
            expected,
            found,
            owner: None,
            fix,
            remedy,
            vital: is_vital(&drift),
            drift,
        }
    }

    /// The table that is missing.
    pub(crate) fn lost_table(&self) -> Option<&str> {
        let Difference { object, change, .. } = &self.drift;
        (object.kind == Kind::Table && *change == Change::Missing).then_some(&object.relation)
    }

    /// Whether a file that locks tables has to run for it.
    pub(super) fn needs_locks(&self) -> bool {
        matches!(self.drift.object.kind, Kind::Trigger | Kind::RowSecurity | Kind::Policy)
    }

    /// Takes away what is too much.
    pub(super) fn take(&self) -> Option<String> {
        let Fact { kind, relation, part, .. } = &self.drift.object;
        if self.remedy != Remedy::Force {
            return None;
        }
        if *kind == Kind::Policy {
            return Some(format!("drop policy {part} on {relation}"));
        }
        let option = if self.drift.change == Change::Extra { "" } else { "grant option for " };
        // What they have passed on goes, too.
        Some(format!("revoke {option}{relation} from {part} cascade"))
    }

    /// The object, as `sql/base/80_grants.sql` calls it, if the files make it anew.
    pub(crate) fn made_anew(&self) -> Option<String> {
        let Fact { kind, relation, .. } = &self.drift.object;
        if self.drift.change != Change::Missing && self.drop_first().is_none() {
            return None;
        }
        if *kind == Kind::Function {
            Some(format!("function {relation}"))
        } else {
            (*kind == Kind::View).then(|| format!("table {relation}"))
        }
    }

    /// Drops what `create or replace` cannot replace: another result, other names of arguments, another kind.
    pub(super) fn drop_first(&self) -> Option<String> {
        let Fact { kind, relation, part, definition, .. } = &self.drift.object;
        let Change::Differs { found } = &self.drift.change else { return None };
        let other = |end| head(definition, end) != head(found, end);
        if *kind == Kind::Function && other(" language ") {
            Some(format!("drop routine {relation}"))
        } else if *kind == Kind::View && found.starts_with("materialized ") {
            Some(format!("drop materialized view {relation}"))
        } else if *kind == Kind::View && other(" with (") {
            Some(format!("drop view {relation}"))
        } else if *kind == Kind::Trigger && found.starts_with("CREATE CONSTRAINT ") {
            Some(format!("drop trigger {part} on {relation}"))
        } else {
            None
        }
    }

    /// The same for a person, where something needs what is in the way.
    pub(super) fn tell_in_the_way(&mut self) {
        if let Some(drop) = self.drop_first() {
            let drop = pasteable(&drop);
            self.fix = format!(
                "see what needs it: `{drop}` names it. Drop that and this, then run `agent-provisioner migrate repair`"
            );
        }
    }
}

fn head<'a>(definition: &'a str, end: &str) -> &'a str {
    definition.split_once(end).map_or(definition, |(head, _)| head)
}

/// As a sentence.
impl BaseDifference {
    /// Whether it is a foreign key that is as it should be, but for the name of the table it refers to.
    pub(super) fn is_key_to(&self, now: &str, wanted: &str) -> bool {
        let refers = |table: &str| format!(" REFERENCES {table}(");
        let found = self.found.as_deref().filter(|found| found.contains(&refers(now)));
        found.is_some_and(|found| {
            self.expected == Some(found.replace(&refers(now), &refers(wanted)))
        })
    }
}

impl fmt::Display for BaseDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { change, kind, object, expected, found, .. } = self;
        match (*change, expected, found) {
            ("extra", _, Some(state)) if self.drift.object.kind == Kind::ConstraintTriggers => {
                let table = &self.drift.object.relation;
                write!(f, "the triggers that check the constraints of {table} are {state}")
            }
            ("missing", ..) => write!(f, "{kind} {object} is missing"),
            ("extra", ..) => {
                write!(f, "{kind} {object} is there in addition")?;
                self.owner.iter().try_for_each(|owner| write!(f, ", and belongs to {owner}"))
            }
            (_, Some(expected), Some(found)) => {
                write!(f, "{kind} {object} is {found} and should be {expected}")
            }
            _ => write!(f, "{kind} {object} differs"),
        }
    }
}

/// What is to be told of the differences: what belongs to a project is not, nor what a missing object takes with it.
pub(super) fn differences(
    drift: &[Difference],
    names: &Names,
    owner: &Owner,
) -> Vec<BaseDifference> {
    let of = |wanted: Change| {
        let them = drift.iter().filter(move |drift| drift.change == wanted);
        them.flat_map(|drift| targets(&drift.object)).collect::<BTreeSet<String>>()
    };
    let (gone, added) = (of(Change::Missing), of(Change::Extra));
    // An identity column differs where its sequence is missing.
    let of_identity = |object: &Fact| {
        let is_its = |drift: &Difference| {
            drift.change == Change::Missing && object.is_filled_by(&drift.object)
        };
        drift.iter().any(|drift| drift.object.kind == Kind::Sequence && is_its(drift))
    };
    let told = |drift: &Difference| match &drift.change {
        Change::Missing => !follows(&drift.object, &gone),
        Change::Extra => !is_theirs(&drift.object, names) && !follows(&drift.object, &added),
        Change::Differs { found } => {
            !is_accepted(&drift.object, found) && !of_identity(&drift.object)
        }
        Change::Removed { .. } => true,
    };
    let mut told: Vec<Difference> = drift.iter().filter(|drift| told(drift)).cloned().collect();
    // One statement switches all of a table's off, and one switches them on.
    let mut switched_off = BTreeSet::new();
    told.retain(|Difference { object, .. }| {
        object.kind != Kind::ConstraintTriggers || switched_off.insert(object.relation.clone())
    });
    // Whose an additional object is, is told with the object.
    let other = |object: &Fact| {
        let targets = targets(object);
        let is_its = |drift: &&Difference| {
            drift.object.kind == Kind::Owner
                && drift.change == Change::Extra
                && targets.contains(&drift.object.relation)
        };
        let owner = drift.iter().find(is_its).map(|drift| drift.object.definition.clone());
        owner.filter(|owner| owner != OWNER)
    };
    let told = told.into_iter().map(|found| {
        let other = other(&found.object);
        BaseDifference { owner: other, ..BaseDifference::new(found, drift, owner) }
    });
    told.collect()
}

/// As grants and owners call an object that others hang on.
fn targets(object: &Fact) -> Vec<String> {
    let Fact { kind, relation, .. } = object;
    let named = || format!("{} {relation}", kind.as_str());
    if matches!(kind, Kind::Schema | Kind::Function | Kind::Sequence | Kind::Type) {
        vec![named()]
    } else if matches!(kind, Kind::Table | Kind::View) {
        vec![relation.clone(), named()]
    } else {
        Vec::new()
    }
}

/// Whether it comes and goes with one of these.
fn follows(object: &Fact, targets: &BTreeSet<String>) -> bool {
    let Fact { kind, relation, .. } = object;
    if *kind == Kind::Grant {
        return relation.split_once(" on ").is_some_and(|(_, target)| targets.contains(target));
    }
    let is_one =
        matches!(kind, Kind::Schema | Kind::Function | Kind::View | Kind::Table | Kind::Type);
    !is_one && (targets.contains(relation) || of_owned_sequence(object, targets))
}

/// A serial column's sequence goes with its table.
fn of_owned_sequence(object: &Fact, targets: &BTreeSet<String>) -> bool {
    object.kind == Kind::Sequence
        && object.part.rsplit_once('.').is_some_and(|(table, _)| targets.contains(table))
}

/// Whether a project may have it there, or nobody's rights come of it.
fn is_theirs(object: &Fact, names: &Names) -> bool {
    let public = object.relation.starts_with("public.");
    let kinds = [Kind::Column, Kind::Default, Kind::Constraint, Kind::Index, Kind::Trigger];
    kinds.contains(&object.kind) && public
        // Owned by a column that a project has added.
        || object.kind == Kind::Sequence && object.part.starts_with("public.")
        || object.kind == Kind::Grant && of_added_column(&object.relation, names)
        || object.kind == Kind::Policy && is_for_others(object)
        || object.kind == Kind::Owner
}

/// Whether a right is one on a column that a project has added.
fn of_added_column(right: &str, names: &Names) -> bool {
    let Some((privilege, table)) = right.split_once(" on ") else { return false };
    let column = privilege.split_once(" (").and_then(|(_, rest)| rest.strip_suffix(')'));
    table.starts_with("public.") && column.is_some_and(|column| !names.has_column(table, column))
}

/// The first migration leaves keys unvalidated which old rows break.
fn is_accepted(object: &Fact, found: &str) -> bool {
    object.kind == Kind::Constraint
        && object.relation.starts_with("public.")
        && found.strip_suffix(" NOT VALID") == Some(&object.definition)
}

fn remedy(drift: &Difference) -> Remedy {
    match (drift.object.kind, &drift.change) {
        (Kind::Policy | Kind::Grant, Change::Extra) => Remedy::Force,
        // With the right to pass it on.
        (Kind::Grant, Change::Differs { .. }) if drift.object.definition.is_empty() => {
            Remedy::Force
        }
        (
            Kind::Function
            | Kind::View
            | Kind::RowSecurity
            | Kind::Policy
            | Kind::Grant
            | Kind::Trigger,
            Change::Missing | Change::Differs { .. },
        ) => Remedy::Repair,
        _ => Remedy::ByHand,
    }
}

/// Without these jobs fail, or changes of agents go unnoticed.
fn is_vital(drift: &Difference) -> bool {
    let Fact { kind, relation, .. } = &drift.object;
    if *kind == Kind::Rule {
        return true;
    }
    if *kind == Kind::Trigger {
        let agents = ["public.agents", "provisioning.jobs"].contains(&relation.as_str());
        return agents && drift.change != Change::Extra;
    }
    let works =
        matches!(kind, Kind::Schema | Kind::Table | Kind::Column | Kind::Function | Kind::Sequence);
    works && drift.change == Change::Missing
}
