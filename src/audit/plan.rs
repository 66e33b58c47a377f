//! From differences to the SQL that ends them: what adds, in the order of dependencies; what takes away, for a person.

use std::collections::{BTreeSet, HashSet};

use super::identity::{self, Numbers};
use super::item::Item;
use super::plan_order::sorted;
use super::schema_state::SchemaState;
use super::violations;
use crate::schema::{
    self, Change, Difference, Fact, Key, Kind, NOT_VALID, is_foreign_key, is_unchecked,
    make_column, make_table, sequence_options,
};

/// What ends one difference.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) item: Item,
    /// Each without its semicolon; comments may come before it. They may run in a transaction.
    pub(super) statements: Vec<String>,
    /// These come later and outside of transactions: then they lock nobody out for long.
    pub(super) later: Vec<String>,
    /// What could lose something. For a person.
    pub(super) by_hand: Vec<String>,
}

/// What a server would give to whom on new objects by itself.
#[derive(Clone, Debug, Default)]
pub(super) struct DefaultGrants(pub(super) BTreeSet<String>);

/// What ends all of these differences, in the order in which it has to run.
pub(super) fn plan(
    differences: &[Difference],
    expected: &SchemaState,
    grants: &DefaultGrants,
) -> Vec<Step> {
    let missing: Vec<&Fact> =
        differences.iter().filter(|it| it.change == Change::Missing).map(|it| &it.object).collect();
    let new: HashSet<&str> = missing
        .iter()
        .filter(|fact| is_head(fact.kind))
        .map(|fact| fact.relation.as_str())
        .collect();
    let both: HashSet<Item> = both(differences, expected);
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
    let planner =
        Planner { expected, differences, missing: &missing, new: &new, both: &both, grants };
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

/// Objects that the files make, and of which something else is there too.
fn both(differences: &[Difference], expected: &SchemaState) -> HashSet<Item> {
    let extra = differences.iter().filter(|it| it.change == Change::Extra);
    let extra: HashSet<Item> = extra.map(|it| Item::of(&it.object)).collect();
    expected.facts.values().map(Item::of).filter(|item| extra.contains(item)).collect()
}

impl Step {
    fn says(&self) -> bool {
        !(self.statements.is_empty() && self.later.is_empty() && self.by_hand.is_empty())
    }
}

struct Planner<'a> {
    expected: &'a SchemaState,
    differences: &'a [Difference],
    missing: &'a [&'a Fact],
    /// What comes into being, by name.
    new: &'a HashSet<&'a str>,
    both: &'a HashSet<Item>,
    grants: &'a DefaultGrants,
}

impl Planner<'_> {
    fn step(&self, difference: &Difference) -> Step {
        let fact = &difference.object;
        let mut step = Step {
            item: Item::of(fact),
            statements: Vec::new(),
            later: Vec::new(),
            by_hand: Vec::new(),
        };
        match &difference.change {
            Change::Missing => self.make(fact, &mut step),
            Change::Differs { found } if fact.kind == Kind::Column => {
                self.alter_column(fact, found, &mut step);
            }
            Change::Differs { found } => replace(fact, found, &mut step),
            // A right is taken by a person only.
            Change::Extra
                if self.both.contains(&step.item)
                    && !matches!(fact.kind, Kind::Grant | Kind::ColumnGrant) =>
            {
                step.statements.extend(take(fact));
            }
            Change::Extra => step.by_hand.extend(take(fact)),
            Change::Removed { .. } => {}
        }
        step
    }

    fn make(&self, fact: &Fact, step: &mut Step) {
        let has_new_home = self.new.contains(fact.home.as_str());
        match fact.kind {
            Kind::Table => step.statements.extend(make_table(fact, self.missing)),
            Kind::Column if has_new_home => {}
            Kind::Column => self.column(fact, step),
            Kind::Default if has_new_home || self.is_missing(Kind::Column, fact) => {}
            Kind::Sequence => self.sequence(fact, step),
            Kind::Identity if is_plain(&fact.definition) => {}
            Kind::Index if !has_new_home => step.later.push(concurrently(fact)),
            Kind::Constraint if !has_new_home => add_constraint(fact, step),
            Kind::Publication => step.statements.push(publish(fact)),
            Kind::OwnerRights if !has_new_home => step.by_hand.push(fact.create()),
            Kind::Extension
            | Kind::Schema
            | Kind::Type
            | Kind::Default
            | Kind::Identity
            | Kind::ColumnStorage
            | Kind::ColumnCompression
            | Kind::ColumnStatistics
            | Kind::ColumnOptions
            | Kind::Constraint
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
            // Only a column without nulls can number its rows.
            if definition.ends_with(NOT_NULL) && !found.ends_with(NOT_NULL) {
                let set = format!("{alter} set not null");
                step.statements.push(violations::before_not_null(column, &set));
            }
            let numbers = Numbers::of(column, self.differences);
            step.statements.extend(numbers.statements(column, found));
            if !definition.ends_with(NOT_NULL) && found.ends_with(NOT_NULL) {
                step.statements.push(format!("{alter} drop not null"));
            }
            return;
        }
        if wanted != is && [wanted, is].iter().any(|it| it.contains(computed)) {
            step.by_hand.push(format!(
                "alter table {relation} drop column {part}, add column {part} {definition}"
            ));
            return;
        }
        if wanted != is {
            let wanted = identity::type_of(definition);
            step.by_hand.push(format!("{alter} type {wanted} using {part}::{wanted}"));
        }
        match (definition.ends_with(NOT_NULL), found.ends_with(NOT_NULL)) {
            (true, false) => step.statements.push(not_null(column)),
            (false, true) => step.statements.push(format!("{alter} drop not null")),
            (true, true) | (false, false) => {}
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

    fn is_missing(&self, kind: Kind, of: &Fact) -> bool {
        let is_it = |fact: &&&Fact| {
            fact.kind == kind && fact.relation == of.relation && fact.part == of.part
        };
        self.missing.iter().any(|fact| is_it(&fact))
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

/// Makes something that is there as the files make it.
fn replace(fact: &Fact, found: &str, step: &mut Step) {
    let Fact { relation, definition, .. } = fact;
    match fact.kind {
        Kind::Type => add_labels(fact, found, step),
        Kind::Constraint => replace_constraint(fact, found, step),
        Kind::Index => step
            .later
            .extend([format!("drop index concurrently {}", fact.part), concurrently(fact)]),
        Kind::Function => {
            // Other arguments or another result: that is another function.
            let head = |text: &str| text.split_once(" LANGUAGE ").map(|(head, _)| plain(head));
            let drop =
                (head(definition) != head(found)).then(|| format!("drop routine {relation}"));
            step.statements.extend(drop.into_iter().chain([definition.clone()]));
        }
        Kind::View => {
            // Neither can become the other, nor is there an `or replace` for one with rows of its own.
            let materialized = |text: &str| text.starts_with("CREATE MATERIALIZED ");
            let word = if materialized(found) { "materialized " } else { "" };
            let drop = materialized(found) || materialized(definition);
            let drop = drop.then(|| format!("drop {word}view {relation}"));
            step.statements.extend(drop.into_iter().chain([definition.clone()]));
        }
        Kind::Publication => step.statements.extend(take(fact).into_iter().chain([publish(fact)])),
        Kind::Grant | Kind::ColumnGrant => grant(fact, found, step),
        Kind::Policy | Kind::Trigger | Kind::Rule => {
            step.statements.extend(take(fact).into_iter().chain([fact.create()]));
        }
        Kind::Sequence | Kind::Identity => {
            let options = sequence_options(definition);
            step.statements.push(format!("alter sequence {relation} {options}"));
        }
        Kind::Default
        | Kind::ColumnStorage
        | Kind::ColumnCompression
        | Kind::ColumnStatistics
        | Kind::ColumnOptions
        | Kind::IndexParameter
        | Kind::IndexStatistics
        | Kind::Cluster
        | Kind::ReplicaIdentity
        | Kind::RowSecurity
        | Kind::Comment => step.statements.push(fact.create()),
        Kind::Owner | Kind::OwnerRights => step.by_hand.push(fact.create()),
        Kind::Schema
        | Kind::Extension
        | Kind::Table
        | Kind::Column
        | Kind::Parent
        | Kind::Child
        | Kind::ConstraintTriggers
        | Kind::OwnConstraint
        | Kind::PartitionTrigger
        | Kind::PublicationOptions
        | Kind::Name
        | Kind::SequenceName
        | Kind::Position => step.by_hand.push(is_otherwise(fact, found)),
    }
}

/// What the files give is given. What they do not give is for a person to take.
fn grant(fact: &Fact, found: &str, step: &mut Step) {
    const OPTION: &str = " with grant option";
    let Fact { relation, part, definition, .. } = fact;
    let wanted: Vec<&str> = definition.split(", ").collect();
    let there: Vec<&str> = found.split(", ").collect();
    let is_there = |right: &&str| {
        there.iter().any(|it| it == right || it.strip_suffix(OPTION) == Some(*right))
    };
    if !wanted.iter().all(is_there) {
        step.statements.push(fact.create());
    }
    let (mut options, mut rights) = (Vec::new(), Vec::new());
    for right in there.into_iter().filter(|right| !wanted.contains(right)) {
        match right.strip_suffix(OPTION) {
            Some(bare) if wanted.contains(&bare) => options.push(bare),
            Some(bare) => rights.push(bare),
            // It is wanted with the option, which the grant adds.
            None if wanted.iter().any(|it| it.strip_suffix(OPTION) == Some(right)) => {}
            None => rights.push(right),
        }
    }
    for (what, list) in [("", rights), ("grant option for ", options)] {
        // A column stands between the privilege and its table.
        let (on, lists) = if fact.kind == Kind::ColumnGrant {
            ("", list.into_iter().map(ToOwned::to_owned).collect())
        } else if list.is_empty() {
            ("", Vec::new())
        } else {
            ("on ", vec![list.join(", ")])
        };
        let revoke = |list| format!("revoke {what}{list} {on}{relation} from {part} cascade");
        step.by_hand.extend(lists.into_iter().map(revoke));
    }
}

/// There is no statement for it.
fn is_otherwise(fact: &Fact, found: &str) -> String {
    format!("{} {fact} is: {found}; should be: {}", fact.kind.as_str(), fact.definition)
}

fn replace_constraint(fact: &Fact, found: &str, step: &mut Step) {
    let Fact { relation, part, .. } = fact;
    if is_unchecked(fact, found) {
        step.later.push(validate(fact));
        return;
    }
    step.statements.push(format!("alter table {relation} drop constraint {part}"));
    add_constraint(fact, step);
}

/// New labels of an enum, each at its place. None can be taken away.
fn add_labels(fact: &Fact, found: &str, step: &mut Step) {
    let Fact { relation, definition, .. } = fact;
    let (Some(wanted), Some(there)) = (labels(definition), labels(found)) else {
        step.by_hand.push(is_otherwise(fact, found));
        return;
    };
    if !there.iter().all(|label| wanted.contains(label)) {
        step.by_hand.push(is_otherwise(fact, found));
    }
    let mut last: Option<&str> = None;
    for label in wanted {
        if !there.contains(&label) {
            let place = match (last, there.first()) {
                (Some(last), _) => format!(" after {last}"),
                (None, Some(first)) => format!(" before {first}"),
                (None, None) => String::new(),
            };
            step.statements.push(format!("alter type {relation} add value {label}{place}"));
        }
        last = Some(label);
    }
}

/// Each with its quotes.
fn labels(definition: &str) -> Option<Vec<&str>> {
    let list = definition.strip_prefix("enum (")?.strip_suffix(')')?;
    let tokens = crate::sql_text::tokens(list);
    Some(
        tokens
            .filter(|token| token.kind == crate::sql_text::Kind::Text)
            .map(|token| token.text)
            .collect(),
    )
}

fn add_constraint(fact: &Fact, step: &mut Step) {
    let add = violations::before_unique(fact, fact.create());
    let checked_later = is_foreign_key(fact) || fact.definition.starts_with("CHECK ");
    if !checked_later || fact.definition.ends_with(NOT_VALID) {
        step.statements.push(add);
        return;
    }
    step.statements.push(add + " not valid");
    step.later.push(validate(fact));
}

/// The check of the rows that are there.
fn validate(fact: &Fact) -> String {
    let Fact { relation, part, .. } = fact;
    let statement = format!("alter table {relation} validate constraint {part}");
    violations::before_validation(fact, &statement)
}

fn concurrently(index: &Fact) -> String {
    let create = index.create().replacen("INDEX ", "INDEX CONCURRENTLY ", 1);
    violations::before_unique(index, create)
}

fn not_null(column: &Fact) -> String {
    violations::before_not_null(column, &schema::not_null(column))
}

fn publish(fact: &Fact) -> String {
    let Fact { relation, part, definition, .. } = fact;
    format!("alter publication {part} add table {relation} {definition}").trim_end().to_owned()
}

/// What takes a fact away.
fn take(fact: &Fact) -> Option<String> {
    let Fact { kind, relation, part, definition, .. } = fact;
    let materialized = definition.starts_with("CREATE MATERIALIZED ");
    let drop = [
        (Kind::Schema, format!("drop schema {relation}")),
        (Kind::Extension, format!("drop extension {relation}")),
        (Kind::Sequence, format!("drop sequence {relation}")),
        (Kind::Table, format!("drop table {relation}")),
        (Kind::Column, format!("alter table {relation} drop column {part}")),
        (Kind::Function, format!("drop routine {relation}")),
        (Kind::RowSecurity, format!("alter table {relation} disable row level security")),
        (Kind::PublicationOptions, format!("drop publication {relation}")),
        (
            Kind::Type,
            if definition.starts_with("domain ") {
                format!("drop domain {relation}")
            } else {
                format!("drop type {relation}")
            },
        ),
        (
            Kind::View,
            format!("drop {}view {relation}", if materialized { "materialized " } else { "" }),
        ),
    ];
    let own = drop.into_iter().find(|(own, _)| own == kind).map(|(_, drop)| drop);
    own.or_else(|| fact.drop())
}

/// As a sequence of an identity column is by itself.
fn is_plain(definition: &str) -> bool {
    let highest = [i64::from(i16::MAX), i64::from(i32::MAX), i64::MAX];
    highest.iter().any(|highest| {
        definition == format!("start with 1 increment by 1 minvalue 1 maxvalue {highest} cache 1")
    })
}

fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
