//! From differences to the SQL that ends them: what adds, in the order of dependencies; what takes away, for a person.

use std::collections::{BTreeSet, HashSet};

use super::identity::{self, Numbers};
use super::plan_order::sorted;
use super::replace::{self, DROPS, Replacement};
use super::schema_state::SchemaState;
use super::step::{Step, add_constraint, concurrently, publish};
use super::violations::{self, guarded};
use crate::schema::{
    Change, Difference, Fact, Key, Kind, check_of_child, comes_by_parents, inherited_column,
    is_check_of_child, is_own_for_good, make_column, make_table,
};

const REWRITES: &str = "It rewrites the table, and values may not fit.";
const LOOSER: &str =
    "The database takes fewer values than the files, and readers may rely on that.";
const OWN: &str = "It is the table's own, too: no statement changes that.";
const NUMBERS: &str = "It drops the sequence that numbers the rows now, with the rights on it.";

/// What a server would give to whom on new objects by itself.
#[derive(Clone, Debug, Default)]
pub(super) struct DefaultGrants(pub(super) BTreeSet<String>);

/// What ends all of these differences between what is wanted and what is there, in the order in which it has to run.
pub(super) fn plan(
    differences: &[Difference],
    [expected, found]: [&SchemaState; 2],
    grants: &DefaultGrants,
) -> Vec<Step> {
    let missing: Vec<&Fact> =
        differences.iter().filter(|it| it.change == Change::Missing).map(|it| &it.object).collect();
    let new: HashSet<&str> = missing
        .iter()
        .filter(|fact| is_head(fact.kind))
        .map(|fact| fact.relation.as_str())
        .collect();
    let extra: HashSet<&str> = differences
        .iter()
        .filter(|it| it.change == Change::Extra && is_head(it.object.kind))
        .map(|it| it.object.relation.as_str())
        .collect();
    // What belongs to something extra goes with it.
    let goes = |it: &Difference| {
        it.change == Change::Extra
            && !is_head(it.object.kind)
            && extra.contains(it.object.home.as_str())
    };
    let absorbed = identity::absorbed(differences);
    let planner = Planner { expected, found, differences, missing: &missing, new: &new, grants };
    let sorted = sorted(differences, expected, &new)
        .into_iter()
        .filter(|it| !goes(it) && !absorbed.contains(&it.object.key()));
    sorted.map(|difference| planner.step(difference)).filter(Step::says).collect()
}

/// Whether other things can belong to it.
fn is_head(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Table | Kind::View | Kind::Function | Kind::Type | Kind::Sequence | Kind::Schema
    )
}

struct Planner<'a> {
    expected: &'a SchemaState,
    /// What the database has.
    found: &'a SchemaState,
    differences: &'a [Difference],
    missing: &'a [&'a Fact],
    /// What comes into being, by name.
    new: &'a HashSet<&'a str>,
    grants: &'a DefaultGrants,
}

impl Planner<'_> {
    fn step(&self, difference: &Difference) -> Step {
        let fact = &difference.object;
        let mut step = Step::of(fact);
        match &difference.change {
            Change::Missing if comes_by_parents(fact, self.missing) => {}
            Change::Missing => self.make(fact, &mut step),
            Change::Differs { found } if fact.kind == Kind::Column => {
                self.alter_column(fact, found, &mut step);
            }
            Change::Differs { found } => {
                let Self { expected, found: there, .. } = *self;
                let revoke = self.revoke(fact);
                Replacement { expected, found: there, revoke }.plan(fact, found, &mut step);
            }
            Change::Extra | Change::Removed { .. } => replace::remove(difference, &mut step),
        }
        step
    }

    fn make(&self, fact: &Fact, step: &mut Step) {
        let has_new_home = self.new.contains(fact.home.as_str());
        match fact.kind {
            Kind::Table => step.statements.extend(make_table(fact, self.missing)),
            Kind::Column if has_new_home => {}
            Kind::Column => self.column(fact, step),
            Kind::Default if self.comes_with_column(fact) => {}
            Kind::Sequence => self.sequence(fact, step),
            Kind::Identity if is_plain(&fact.definition) => {}
            Kind::Index if !has_new_home => step.later.push(concurrently(fact)),
            Kind::Constraint => self.constraint(fact, has_new_home, step),
            Kind::Parent if !has_new_home => step.statements.push(guarded(&fact.create())),
            Kind::Publication => step.statements.push(publish(fact)),
            Kind::InheritedColumn if is_own_for_good(fact, self.missing) => {
                step.leave(OWN, [fact.create()]);
            }
            Kind::InheritedColumn => step.statements.extend(inherited_column(fact, self.missing)),
            Kind::OwnerRights if !has_new_home => {
                step.leave("It takes rights from the owner.", [fact.create()]);
            }
            Kind::Extension
            | Kind::Schema
            | Kind::Type
            | Kind::Default
            | Kind::Identity
            | Kind::ColumnStorage
            | Kind::ColumnCompression
            | Kind::ColumnStatistics
            | Kind::ColumnOptions
            | Kind::IndexParameter
            | Kind::Index
            | Kind::IndexStatistics
            | Kind::Cluster
            | Kind::ReplicaIdentity
            | Kind::Parent
            | Kind::Child
            | Kind::Function
            | Kind::View
            | Kind::RowSecurity
            | Kind::Policy
            | Kind::Grant
            | Kind::ColumnGrant
            | Kind::OwnerRights
            | Kind::Trigger
            | Kind::ConstraintTriggers
            | Kind::OwnConstraint
            | Kind::PartitionTrigger
            | Kind::Rule
            | Kind::PublicationOptions
            | Kind::Comment
            | Kind::Name
            | Kind::SequenceName
            | Kind::Owner
            | Kind::Position => step.statements.push(fact.create()),
        }
        step.statements.extend(self.revoke(fact));
        if self.waits_for_index(fact) {
            step.later.splice(0..0, std::mem::take(&mut step.statements));
        }
    }

    fn constraint(&self, fact: &Fact, has_new_home: bool, step: &mut Step) {
        if !has_new_home || self.may_lack_key(fact) {
            add_constraint(fact, self.may_lack_key(fact), step);
        } else if is_check_of_child(fact, self.missing) {
            step.statements.push(check_of_child(fact));
        } else {
            step.statements.push(fact.create());
        }
    }

    /// Whether rows may keep the key from being made that a foreign key refers to.
    fn may_lack_key(&self, constraint: &Fact) -> bool {
        self.needs_missing(constraint, Kind::Constraint)
    }

    /// Whether it needs an index that is made after the transaction.
    fn waits_for_index(&self, fact: &Fact) -> bool {
        self.needs_missing(fact, Kind::Index)
    }

    /// Whether something of a kind is missing that it needs, of a table that stands.
    fn needs_missing(&self, fact: &Fact, kind: Kind) -> bool {
        let needed = self.expected.needs.get(&fact.key()).into_iter().flatten();
        let is_missing = |key: &Key| {
            let of_kind = key.0 == kind && !self.new.contains(key.1.as_str());
            of_kind
                && self.missing.iter().any(|missing| {
                    (missing.kind, &missing.relation, &missing.part) == (key.0, &key.1, &key.2)
                })
        };
        needed.into_iter().any(is_missing)
    }

    /// Without a default, rows that are there have nothing to put there.
    fn column(&self, column: &Fact, step: &mut Step) {
        let has_value = column.definition.contains("generated ")
            || self.is_missing(Kind::Default, column)
            || !column.definition.ends_with(" not null");
        if has_value {
            step.statements.extend(make_column(column, self.missing));
            return;
        }
        let mut nullable = column.clone();
        column.definition.trim_end_matches(" not null").clone_into(&mut nullable.definition);
        step.statements.extend(make_column(&nullable, self.missing));
        step.statements.push(not_null(column));
    }

    fn alter_column(&self, column: &Fact, found: &str, step: &mut Step) {
        const NOT_NULL: &str = " not null";
        let Fact { relation, part, definition, .. } = column;
        let alter = format!("alter table {relation} alter column {part}");
        let (wanted, is) =
            (definition.trim_end_matches(NOT_NULL), found.trim_end_matches(NOT_NULL));
        let computed = " generated always as (";
        if identity::is_changed(definition, found) {
            let mut numbers = Numbers::of(column, self.differences).statements(column, found);
            // Only a column without nulls can number its rows.
            if definition.ends_with(NOT_NULL) && !found.ends_with(NOT_NULL) {
                step.statements.push(not_null(column));
                let alters = numbers.iter_mut().filter(|it| it.starts_with(&alter));
                alters.for_each(|statement| *statement = guarded(statement));
            }
            if numbers.iter().any(|statement| statement.contains("drop ")) {
                step.leave(NUMBERS, numbers);
            } else {
                step.statements.extend(numbers);
            }
        } else if wanted != is && [wanted, is].iter().any(|it| it.contains(computed)) {
            let again = format!(
                "alter table {relation} drop column {part}, add column {part} {definition}"
            );
            step.leave(DROPS, [again]);
            return;
        } else {
            if wanted != is {
                let wanted = identity::type_of(definition);
                step.leave(REWRITES, [format!("{alter} type {wanted} using {part}::{wanted}")]);
            }
            if definition.ends_with(NOT_NULL) && !found.ends_with(NOT_NULL) {
                step.statements.push(not_null(column));
            }
        }
        if !definition.ends_with(NOT_NULL) && found.ends_with(NOT_NULL) {
            step.leave(LOOSER, [format!("{alter} drop not null")]);
        }
    }

    /// The numbers of a column that is there go on where they are.
    fn sequence(&self, sequence: &Fact, step: &mut Step) {
        step.statements.push(sequence.create());
        let of_missing = self.missing.iter().any(|column| column.is_filled_by(sequence));
        let owner = sequence.part.rsplit_once('.').filter(|_| !of_missing);
        if let Some((table, column)) = owner {
            let relation = &sequence.relation;
            step.statements.push(format!("alter sequence {relation} owned by {table}.{column}"));
            let name = relation.replace('\'', "''");
            step.statements
                .push(format!("select setval('{name}', (select max({column}) from {table}))"));
        }
    }

    /// Whether the statement that makes its table or column has a default, too. That of a view's column comes later.
    fn comes_with_column(&self, default: &Fact) -> bool {
        let is_its = |it: &&Fact| it.kind == Kind::Table && it.relation == default.relation;
        self.missing.iter().any(is_its) || self.is_missing(Kind::Column, default)
    }

    fn is_missing(&self, kind: Kind, of: &Fact) -> bool {
        self.missing.iter().any(|fact| fact.kind == kind && fact.is_beside(of))
    }

    /// What a server gives by itself on something new, where the files give something else.
    fn revoke(&self, fact: &Fact) -> Option<String> {
        let (target, most) = if fact.kind == Kind::Function {
            let is_procedure = fact.definition.starts_with("CREATE OR REPLACE PROCEDURE ");
            let word = if is_procedure { "procedure" } else { "function" };
            (format!("{word} {}", fact.relation), 1)
        } else if fact.kind == Kind::Sequence {
            (format!("sequence {}", fact.relation), 3)
        } else if matches!(fact.kind, Kind::Table | Kind::View) {
            (fact.relation.clone(), 7)
        } else {
            return None;
        };
        let mut given: BTreeSet<&str> = self.grants.0.iter().map(String::as_str).collect();
        if fact.kind == Kind::Function {
            given.insert("public");
        } else {
            given.remove("public");
        }
        given.retain(|grantee| {
            let key: Key = (Kind::Grant, target.clone(), (*grantee).to_owned());
            let wanted =
                self.expected.facts.get(&key).map(|grant| grant.definition.split(", ").count());
            wanted.is_none_or(|wanted| wanted < most)
        });
        let list: Vec<&str> = given.into_iter().collect();
        (!list.is_empty()).then(|| format!("revoke all on {target} from {}", list.join(", ")))
    }
}

fn not_null(column: &Fact) -> String {
    let Fact { relation, part, .. } = column;
    let set = format!("alter table {relation} alter column {part} set not null");
    violations::before_not_null(column, &set)
}

/// As a sequence of an identity column is by itself.
fn is_plain(definition: &str) -> bool {
    let highest = [i64::from(i16::MAX), i64::from(i32::MAX), i64::MAX];
    highest.iter().any(|highest| {
        definition == format!("start with 1 increment by 1 minvalue 1 maxvalue {highest} cache 1")
    })
}
