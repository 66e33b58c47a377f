//! The statements that end a difference, and those that several differences end by.

use super::item::Item;
use super::violations;
use crate::schema::{Fact, NOT_VALID, is_foreign_key};

/// The statements that end one difference.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) item: Item,
    /// These have to be committed before others can use what they make.
    pub(super) first: Vec<String>,
    /// Each without its semicolon; comments may come before it. They may run in a transaction.
    pub(super) statements: Vec<String>,
    /// These come later and outside of transactions: then they lock nobody out for long.
    pub(super) later: Vec<String>,
    /// Statements that could lose something. The fix has them as comments.
    pub(super) by_hand: Vec<Manual>,
}

/// Statements that are left to a person.
#[derive(Debug)]
pub(super) struct Manual {
    /// What could be lost, or why nobody can do it for them: a sentence.
    pub(super) why: String,
    pub(super) statements: Vec<String>,
}

impl Step {
    /// A step about this fact without any statement yet.
    pub(super) fn of(fact: &Fact) -> Self {
        let (first, statements, later) = (Vec::new(), Vec::new(), Vec::new());
        Self { item: Item::of(fact), first, statements, later, by_hand: Vec::new() }
    }

    /// Leaves statements to a person, for a reason.
    pub(super) fn leave(&mut self, why: &str, statements: impl IntoIterator<Item = String>) {
        let statements: Vec<String> = statements.into_iter().collect();
        if !statements.is_empty() {
            self.by_hand.push(Manual { why: why.to_owned(), statements });
        }
    }

    /// Leaves all of it to a person.
    pub(super) fn leave_all(&mut self, why: &str) {
        let mut statements: Vec<String> = std::mem::take(&mut self.first);
        statements.append(&mut self.statements);
        statements.append(&mut self.later);
        let rest = std::mem::take(&mut self.by_hand);
        self.leave(
            why,
            statements.into_iter().chain(rest.into_iter().flat_map(|it| it.statements)),
        );
    }

    /// All statements that are not left to a person, in their order.
    pub(super) fn all(&self) -> impl Iterator<Item = &String> {
        self.first.iter().chain(&self.statements).chain(&self.later)
    }

    /// Whether there is any statement.
    pub(super) fn says(&self) -> bool {
        self.all().next().is_some() || !self.by_hand.is_empty()
    }
}

/// A constraint on a table that stands: what its rows are checked for comes later. `may_lack_key`: what it refers to may be
/// left out.
pub(super) fn add_constraint(fact: &Fact, may_lack_key: bool, step: &mut Step) {
    let (mut add, mut check) = adding(fact);
    if violations::is_unique(fact) || may_lack_key {
        (add, check) = (violations::guarded(&add), check.map(|check| violations::guarded(&check)));
    }
    step.statements.push(violations::before_unique(fact, add));
    step.later.extend(check.map(|check| violations::before_validation(fact, &check)));
}

/// The statement that adds a constraint, and the one that checks the rows that are there.
pub(super) fn adding(fact: &Fact) -> (String, Option<String>) {
    let add = fact.create();
    let checked_later = is_foreign_key(fact) || fact.definition.starts_with("CHECK ");
    if !checked_later || fact.definition.ends_with(NOT_VALID) {
        return (add, None);
    }
    (add + " not valid", Some(validation(fact)))
}

/// The check of the rows that are there.
pub(super) fn validate(fact: &Fact) -> String {
    violations::before_validation(fact, &validation(fact))
}

fn validation(Fact { relation, part, .. }: &Fact) -> String {
    format!("alter table {relation} validate constraint {part}")
}

/// An index on a table that stands.
pub(super) fn concurrently(index: &Fact) -> String {
    let create = index.create().replacen("INDEX ", "INDEX CONCURRENTLY ", 1);
    violations::before_unique(index, create)
}

/// Adds a table to a publication.
pub(super) fn publish(fact: &Fact) -> String {
    let Fact { relation, part, definition, .. } = fact;
    format!("alter publication {part} add table {relation} {definition}").trim_end().to_owned()
}
