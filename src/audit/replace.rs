//! What is there and is not as the files make it: changed where that loses nothing, else for a person.

use super::schema_state::SchemaState;
use super::step::{Step, adding, concurrently, publish, validate};
use super::violations;
use crate::schema::{Change, Difference, Fact, Kind, alter_sequence, is_unchecked};
use crate::sql_text;

/// Why statements are left to a person.
pub(super) const DROPS: &str = "It takes away what is in the database, and what belongs to it.";
const AGAIN: &str = "It can only be dropped and made again. What has come to belong to it goes with it, and what needs it \
                     stands in the way.";
const LOOSER: &str = "The database is stricter than the files.";
const RIGHTS: &str = "Whoever uses these rights is refused afterwards.";
const NO_STATEMENT: &str = "There is no statement for it.";
const OWNER: &str = "The rights of its owner change.";

/// What of an object's differences is decided by both states.
pub(super) struct Replacement<'a> {
    pub(super) expected: &'a SchemaState,
    /// What the database has.
    pub(super) found: &'a SchemaState,
    /// What takes from a new object what the server gives by itself, and the files do not.
    pub(super) revoke: Option<String>,
}

impl Replacement<'_> {
    /// Makes something that is there as the files make it.
    pub(super) fn plan(&self, fact: &Fact, found: &str, step: &mut Step) {
        match self.in_place(fact, found) {
            Some(statements) => step.statements.extend(statements),
            None => self.otherwise(fact, found, step),
        }
    }

    /// The statements that lose nothing. `None` where there are none.
    fn in_place(&self, fact: &Fact, found: &str) -> Option<Vec<String>> {
        let Fact { kind, definition, .. } = fact;
        let alone = match kind {
            // Other arguments or another result: that is another function.
            Kind::Function => (head(definition) == head(found)).then(|| definition.clone()),
            Kind::View => self.is_extended(fact, found).then(|| definition.clone()),
            Kind::Policy => altered_policy(fact, found),
            Kind::Trigger | Kind::Rule => {
                let is_replaced = !is_of_constraint(&[definition, found]);
                return is_replaced.then(|| replaced(fact, found));
            }
            Kind::Sequence | Kind::Identity => Some(alter_sequence(fact, found)),
            Kind::RowSecurity => (found != "forced").then(|| fact.create()),
            Kind::Default
            | Kind::ColumnStorage
            | Kind::ColumnCompression
            | Kind::ColumnStatistics
            | Kind::ColumnOptions
            | Kind::IndexParameter
            | Kind::IndexStatistics
            | Kind::Cluster
            | Kind::ReplicaIdentity
            | Kind::Comment => Some(fact.create()),
            Kind::Schema
            | Kind::Extension
            | Kind::Type
            | Kind::Table
            | Kind::Column
            | Kind::Constraint
            | Kind::OwnConstraint
            | Kind::InheritedColumn
            | Kind::Index
            | Kind::Parent
            | Kind::Child
            | Kind::Grant
            | Kind::ColumnGrant
            | Kind::OwnerRights
            | Kind::PartitionTrigger
            | Kind::ConstraintTriggers
            | Kind::PublicationOptions
            | Kind::Publication
            | Kind::Name
            | Kind::SequenceName
            | Kind::Owner
            | Kind::Position => None,
        };
        alone.map(|statement| vec![statement])
    }

    /// What is checked later, added, or left to a person.
    fn otherwise(&self, fact: &Fact, found: &str, step: &mut Step) {
        match fact.kind {
            Kind::Type => add_labels(fact, found, step),
            Kind::Constraint if is_unchecked(fact, found) => step.later.push(validate(fact)),
            Kind::Grant | Kind::ColumnGrant => grant(fact, found, step),
            Kind::RowSecurity => step.leave(LOOSER, [fact.create()]),
            Kind::Owner | Kind::OwnerRights => step.leave(OWNER, [fact.create()]),
            Kind::Index => {
                let drop = format!("drop index concurrently {}", fact.part);
                self.again(fact, [drop, concurrently(fact)], step);
            }
            Kind::Constraint => {
                let (add, check) = adding(fact);
                let add = violations::before_unique(fact, add);
                let check = check.map(|check| violations::before_validation(fact, &check));
                let drop = format!("alter table {} drop constraint {}", fact.relation, fact.part);
                self.again(fact, [drop, add].into_iter().chain(check), step);
            }
            Kind::View => {
                let is_stored = found.starts_with("CREATE MATERIALIZED ");
                let what = if is_stored { "materialized view" } else { "view" };
                self.again(fact, [format!("drop {what} {}", fact.relation), fact.create()], step);
            }
            Kind::Publication => {
                self.again(fact, take(fact).into_iter().chain([publish(fact)]), step);
            }
            Kind::Function | Kind::Policy | Kind::Trigger | Kind::Rule => {
                self.again(fact, take(fact).into_iter().chain([fact.create()]), step);
            }
            Kind::Schema
            | Kind::Extension
            | Kind::Sequence
            | Kind::Table
            | Kind::Column
            | Kind::Default
            | Kind::Identity
            | Kind::ColumnStorage
            | Kind::ColumnCompression
            | Kind::ColumnStatistics
            | Kind::ColumnOptions
            | Kind::OwnConstraint
            | Kind::InheritedColumn
            | Kind::IndexParameter
            | Kind::IndexStatistics
            | Kind::Cluster
            | Kind::ReplicaIdentity
            | Kind::Parent
            | Kind::Child
            | Kind::PartitionTrigger
            | Kind::ConstraintTriggers
            | Kind::PublicationOptions
            | Kind::Comment
            | Kind::Name
            | Kind::SequenceName
            | Kind::Position => step.leave(NO_STATEMENT, [is_otherwise(fact, found)]),
        }
    }

    /// Drops it and makes it again, with what the files say of it beside.
    fn again(&self, fact: &Fact, statements: impl IntoIterator<Item = String>, step: &mut Step) {
        let is_head = matches!(fact.kind, Kind::Function | Kind::View);
        let Fact { kind, part, relation, .. } = fact;
        let about = if *kind == Kind::Index {
            format!("index {part}")
        } else {
            format!("{} {part} on {relation}", kind.as_str())
        };
        let belongs = |other: &Fact| {
            is_head && other.home == *relation && other.kind != *kind
                || other.kind == Kind::Comment && other.part == about
        };
        let others = self.expected.in_order().into_iter().filter(belongs);
        let others: Vec<String> = others.map(|other| other.create()).collect();
        let revoke = self.revoke.clone().filter(|_| is_head);
        step.leave(AGAIN, statements.into_iter().chain(revoke).chain(others));
    }

    /// Whether `create or replace` takes the view as it is: with the same columns, and perhaps more behind them.
    fn is_extended(&self, view: &Fact, found: &str) -> bool {
        let is_stored = |text: &str| text.starts_with("CREATE MATERIALIZED ");
        let columns = |state: &SchemaState| {
            state.view_columns.get(&view.relation).cloned().unwrap_or_default()
        };
        !is_stored(found)
            && !is_stored(&view.definition)
            && columns(self.expected).starts_with(&columns(self.found))
    }
}

/// What ends something that is only in the database. It is for a person, whatever it is.
pub(super) fn remove(difference: &Difference, step: &mut Step) {
    if difference.change == Change::Extra {
        let is_right = matches!(difference.object.kind, Kind::Grant | Kind::ColumnGrant);
        let why = if is_right { RIGHTS } else { DROPS };
        step.leave(why, take(&difference.object));
    }
}

fn head(function: &str) -> Option<String> {
    function.split_once(" LANGUAGE ").map(|(head, _)| plain(head))
}

/// The statement that changes a policy's roles and expressions. It cannot change the command, nor take an expression away.
fn altered_policy(fact: &Fact, found: &str) -> Option<String> {
    let (head, rest) = fact.definition.split_once(" to ")?;
    let (found_head, found_rest) = found.split_once(" to ")?;
    let keeps = |clause: &str| rest.contains(clause) || !found_rest.contains(clause);
    let keeps_all = head == found_head && keeps(" using (") && keeps(" with check (");
    keeps_all.then(|| format!("alter policy {} on {} to {rest}", fact.part, fact.relation))
}

/// Whether one of them is a trigger that cannot be replaced.
fn is_of_constraint(definitions: &[&str]) -> bool {
    definitions.iter().any(|it| it.starts_with("CREATE CONSTRAINT TRIGGER "))
}

/// A trigger or a rule in the place of the one that is there: its comment stays.
fn replaced(fact: &Fact, found: &str) -> Vec<String> {
    const STATE: &str = "; ALTER TABLE ";
    let what = if fact.kind == Kind::Rule { "RULE" } else { "TRIGGER" };
    let (make, is_fired_otherwise) = match fact.definition.split_once(STATE) {
        Some((make, _)) => (make, true),
        None => (fact.definition.as_str(), false),
    };
    let create = format!("CREATE {what} ");
    let mut all = vec![make.replacen(&create, &format!("CREATE OR REPLACE {what} "), 1)];
    if is_fired_otherwise {
        all.extend(fact.definition.split_once("; ").map(|(_, state)| state.to_owned()));
    } else if found.contains(STATE) {
        all.push(format!("ALTER TABLE {} ENABLE {what} {}", fact.relation, fact.part));
    }
    all
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
        let revokes: Vec<String> = if fact.kind == Kind::ColumnGrant {
            list.into_iter().map(|right| format!("{right} {relation}")).collect()
        } else if list.is_empty() {
            Vec::new()
        } else {
            vec![format!("{} on {relation}", list.join(", "))]
        };
        let revoke = |rights| format!("revoke {what}{rights} from {part} cascade");
        if !revokes.is_empty() {
            step.leave(RIGHTS, revokes.into_iter().map(revoke));
        }
    }
}

fn is_otherwise(fact: &Fact, found: &str) -> String {
    format!("{} {fact} is: {found}; should be: {}", fact.kind.as_str(), fact.definition)
}

/// New labels of an enum, each at its place. None can be taken away.
fn add_labels(fact: &Fact, found: &str, step: &mut Step) {
    let Fact { relation, definition, .. } = fact;
    let (Some(wanted), Some(there)) = (labels(definition), labels(found)) else {
        step.leave(NO_STATEMENT, [is_otherwise(fact, found)]);
        return;
    };
    if !there.iter().all(|label| wanted.contains(label)) {
        step.leave(NO_STATEMENT, [is_otherwise(fact, found)]);
    }
    let mut last: Option<&str> = None;
    for label in wanted {
        if !there.contains(&label) {
            let place = match (last, there.first()) {
                (Some(last), _) => format!(" after {last}"),
                (None, Some(first)) => format!(" before {first}"),
                (None, None) => String::new(),
            };
            step.first.push(format!("alter type {relation} add value {label}{place}"));
        }
        last = Some(label);
    }
}

/// The labels of an enum, each with its quotes.
fn labels(definition: &str) -> Option<Vec<&str>> {
    let list = definition.strip_prefix("enum (")?.strip_suffix(')')?;
    let tokens = sql_text::tokens(list);
    let texts = tokens.filter(|token| token.kind == sql_text::Kind::Text);
    Some(texts.map(|token| token.text).collect())
}

/// The statement that takes a fact away.
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

fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(kind: Kind, definition: &str) -> Fact {
        let (relation, part) = ("public.t".to_owned(), "x".to_owned());
        let definition = definition.to_owned();
        Fact { kind, home: relation.clone(), relation, part, definition, echo: None }
    }

    #[test]
    fn a_policy_is_altered_where_nothing_but_roles_and_expressions_change() {
        let wanted =
            fact(Kind::Policy, "as permissive for all to a, b using (true) with check (false)");
        let alter = "alter policy x on public.t to a, b using (true) with check (false)";
        for (found, is_altered) in [
            ("as permissive for all to a using (false)", true),
            ("as permissive for select to a using (false)", false),
            ("as restrictive for all to a using (false)", false),
        ] {
            let altered = altered_policy(&wanted, found);
            assert_eq!(altered.as_deref(), is_altered.then_some(alter), "{found}");
        }
        let reads = fact(Kind::Policy, "as permissive for all to a using (true)");
        assert_eq!(altered_policy(&reads, &wanted.definition), None);
    }

    #[test]
    fn a_trigger_is_replaced_and_fires_as_the_files_say() {
        let make = "CREATE TRIGGER x BEFORE UPDATE ON public.t EXECUTE FUNCTION f()";
        let (replace, off) = (
            "CREATE OR REPLACE TRIGGER x BEFORE UPDATE ON public.t EXECUTE FUNCTION f()",
            "ALTER TABLE public.t DISABLE TRIGGER x",
        );
        let disabled = format!("{make}; {off}");
        let on = "ALTER TABLE public.t ENABLE TRIGGER x";
        assert_eq!(replaced(&fact(Kind::Trigger, make), &disabled), [replace, on]);
        assert_eq!(replaced(&fact(Kind::Trigger, &disabled), make), [replace, off]);
        assert_eq!(replaced(&fact(Kind::Trigger, make), "CREATE TRIGGER x"), [replace]);
    }
}
