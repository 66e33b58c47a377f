//! Tables that two files define differently, and keys to a table of users that is not the one of the logins.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Client;

use super::error::Error;
use super::files::SqlFile;
use super::finding::{Finding, Place, Severity};
use super::makers::Makers;
use super::order::{refer_to_auth, tables};
use super::replay::Replay;
use super::schema_state::SchemaState;
use crate::postgres::{query, session_settings};
use crate::schema::{Change, Difference, Fact, Key, Kind};
use crate::sql_text::{Statement, in_quotes};

/// A definition of a table, and how it looks on the server.
struct Variant<'a> {
    file: usize,
    statement: Statement<'a>,
    /// Columns, defaults and constraints; nothing where it does not run.
    facts: BTreeMap<Key, Fact>,
}

/// A table that files define differently.
#[derive(Debug)]
pub(super) struct Contested {
    /// The table's qualified name, without quotes.
    pub(super) name: String,
    pub(super) finding: Finding,
    /// Columns, defaults and constraints of the definition that is there.
    deployed: BTreeMap<Key, Fact>,
}

impl Contested {
    /// Whether the database differs from the files in this only since it has another of their definitions. `None` where
    /// no definition says anything of it.
    pub(super) fn explains(&self, difference: &Difference) -> Option<bool> {
        let Difference { object, change } = difference;
        if !DEFINED.contains(&object.kind) || object.home.replace('"', "") != self.name {
            return None;
        }
        let deployed = self.deployed.get(&object.key());
        Some(match change {
            Change::Missing => deployed.is_none(),
            Change::Extra => deployed.is_some_and(|fact| fact.is(&object.definition)),
            Change::Differs { found } => deployed.is_some_and(|fact| fact.is(found)),
            Change::Removed { .. } => false,
        })
    }
}

/// What a definition of a table says.
const DEFINED: [Kind; 3] = [Kind::Column, Kind::Default, Kind::Constraint];

/// The tables that files define differently.
///
/// `known` is what they are measured by: the database, or what the files made in the end.
pub(super) async fn conflicts(
    client: &Client,
    files: &[SqlFile],
    replay: &Replay,
    known: &SchemaState,
    is_live: bool,
) -> Result<Vec<Contested>, Error> {
    let mut all = replay.order.clone();
    all.extend(replay.failures.iter().map(|(index, _)| *index));
    let mut contested = Vec::new();
    for (name, statements) in tables(files, &all) {
        let several: BTreeSet<usize> = statements.iter().map(|(file, _)| *file).collect();
        if several.len() < 2 {
            continue;
        }
        let mut variants = Vec::new();
        for (file, statement) in statements {
            let facts = try_out(client, &name, statement).await?;
            variants.push(Variant { file, statement, facts });
        }
        let differ = variants.windows(2).any(|pair| match pair {
            [a, b] => a.facts != b.facts && !a.facts.is_empty() && !b.facts.is_empty(),
            _ => false,
        });
        if differ {
            let there = if is_live { "the database" } else { "the order of the files" };
            let conflict = Conflict { name: &name, variants: &variants, files, known, there };
            let (finding, best) = (conflict.finding(), conflict.best());
            let deployed = variants.get(best).map(|it| it.facts.clone()).unwrap_or_default();
            contested.push(Contested { name, finding, deployed });
        }
    }
    Ok(contested)
}

/// The table as one statement alone makes it. Nothing of it stays.
async fn try_out(
    client: &Client,
    name: &str,
    statement: Statement<'_>,
) -> Result<BTreeMap<Key, Fact>, Error> {
    let doing = || query("try a definition of a table");
    let quoted: Vec<String> = name.split('.').map(in_quotes).collect();
    let quoted = quoted.join(".");
    let set = "begin; set local search_path = public, extensions";
    client.batch_execute(set).await.map_err(doing())?;
    let drop = format!("drop table if exists {quoted} cascade");
    let made = async {
        client.batch_execute(&drop).await?;
        client.batch_execute(statement.text).await
    };
    let mut facts = BTreeMap::new();
    if made.await.is_ok() {
        client.batch_execute(&session_settings::local()).await.map_err(doing())?;
        facts = SchemaState::read_facts(client).await?;
        facts.retain(|key, fact| DEFINED.contains(&key.0) && fact.home.replace('"', "") == name);
    }
    client.batch_execute("rollback").await.map_err(doing())?;
    Ok(facts)
}

/// How many facts of a definition are there as it says, and how many it has.
fn score(facts: &BTreeMap<Key, Fact>, known: &SchemaState) -> (usize, usize) {
    let same = facts.iter().filter(|(key, fact)| {
        known.facts.get(*key).is_some_and(|found| fact.is(&found.definition))
    });
    (same.count(), facts.len())
}

/// Two or more definitions, and how well each is met by what is there.
struct Conflict<'a> {
    name: &'a str,
    variants: &'a [Variant<'a>],
    files: &'a [SqlFile],
    known: &'a SchemaState,
    /// What `known` is the state of, in words: the database, or the files in their order.
    there: &'static str,
}

impl Conflict<'_> {
    fn file(&self, variant: &Variant<'_>) -> &str {
        self.files.get(variant.file).map_or("", |file| file.name.as_str())
    }

    /// How many of the definition's facts are as it says, such as `5 of 6`.
    fn share(&self, variant: &Variant<'_>) -> String {
        let (same, all) = score(&variant.facts, self.known);
        format!("{same} of {all}")
    }

    /// The greatest share of what is there, then the most, then the first.
    fn best(&self) -> usize {
        let rank = |(place, variant): &(usize, &Variant<'_>)| {
            let (same, all) = score(&variant.facts, self.known);
            (same * 1000 / all.max(1), same, std::cmp::Reverse(*place))
        };
        self.variants.iter().enumerate().max_by_key(rank).map_or(0, |(place, _)| place)
    }

    fn finding(&self) -> Finding {
        let best = self.best();
        let others: Vec<&Variant<'_>> = self
            .variants
            .iter()
            .enumerate()
            .filter(|(place, _)| *place != best)
            .map(|it| it.1)
            .collect();
        let Some(deployed) = self.variants.get(best) else {
            return Finding::new("conflicting_base", Severity::Error, self.name, String::new());
        };
        let list =
            others.iter().map(|other| format!("{} ({})", self.file(other), self.share(other)));
        let message = format!(
            "{} files define table {} differently; {} has that of {} ({} as it says), not {}",
            self.variants.len(),
            self.name,
            self.there,
            self.file(deployed),
            self.share(deployed),
            list.collect::<Vec<_>>().join(", ")
        );
        let mut columns = Vec::new();
        let mut evidence = self.shown(deployed);
        for other in &others {
            evidence.extend(self.shown(other));
            evidence.extend(other.facts.values().filter_map(|fact| self.differs(fact)));
            let added = other.facts.values().filter(|fact| {
                fact.kind == Kind::Column && !self.known.facts.contains_key(&fact.key())
            });
            columns.extend(added.map(|fact| fact.create() + ";"));
        }
        let or = if columns.is_empty() { "" } else { ", or make its columns by:" };
        let keep =
            format!("-- keep the definition of {}; remove the other{or}", self.file(deployed));
        let fix = [vec![keep], columns].concat();
        let place = others.first().and_then(|other| {
            let file = self.files.get(other.file)?;
            Some(Place { file: file.name.clone(), line: other.statement.line })
        });
        Finding {
            place,
            evidence: evidence.join("\n"),
            impact: "Code that is written for one of them fails on the other.",
            fix: fix.join("\n"),
            ..Finding::new("conflicting_base", Severity::Error, self.name, message)
        }
    }

    fn shown(&self, variant: &Variant<'_>) -> Vec<String> {
        let (file, line, share) = (self.file(variant), variant.statement.line, self.share(variant));
        vec![
            format!("{file}:{line} ({share} as in {})", self.there),
            variant.statement.text.to_owned(),
        ]
    }

    /// What a definition would add or change.
    fn differs(&self, fact: &Fact) -> Option<String> {
        let (kind, definition) = (fact.kind.as_str(), &fact.definition);
        match self.known.facts.get(&fact.key()) {
            None => Some(format!("  would add {kind} {fact}: {definition}")),
            Some(found) if fact.is(&found.definition) => None,
            Some(found) => Some(format!(
                "  has {kind} {fact} as {definition}\n  {} has {kind} {fact} as {}",
                self.there, found.definition
            )),
        }
    }
}

const USERS: &str = "public.users";

/// Foreign keys to `public.users` whose column policies compare with the login's id, where the two have nothing to do with
/// each other.
pub(super) fn wrong_users(state: &SchemaState, makers: &Makers<'_>) -> Vec<Finding> {
    if !state.has(Kind::Table, USERS) || is_tied(state) {
        return Vec::new();
    }
    let keys = state.facts.values().filter(|fact| fact.kind == Kind::Constraint);
    let wrong = keys.filter_map(|fact| {
        let column = fact
            .definition
            .strip_prefix("FOREIGN KEY (")?
            .split_once(") REFERENCES public.users(")?
            .0;
        let policy = state.facts.values().find(|policy| {
            policy.kind == Kind::Policy
                && policy.relation == fact.relation
                && compares(&policy.definition, column)
        })?;
        Some((fact, policy))
    });
    wrong
        .map(|(fact, policy)| {
            let Fact { relation, part, definition, .. } = fact;
            let object = format!("{part} on {relation}");
            let message = format!(
                "foreign key {object} refers to public.users, and policy {} compares its column with the id of the \
                 login, which is in auth.users",
                policy.part
            );
            let fixed = refer_to_auth(definition);
            Finding {
                place: makers.place(fact),
                evidence: format!("{definition}\n{} {}", policy.part, policy.definition),
                impact: "No row can have an owner who may see it, unless both tables have the same ids by chance.",
                fix: format!(
                    "alter table {relation} drop constraint {part}, add constraint {part} {fixed} not valid;\n\
                     alter table {relation} validate constraint {part};"
                ),
                ..Finding::new("foreign_key_to_wrong_users", Severity::Error, &object, message)
            }
        })
        .collect()
}

/// Whether users have the ids of logins: by a key, or by a trigger that makes them.
fn is_tied(state: &SchemaState) -> bool {
    state.facts.values().any(|fact| {
        fact.kind == Kind::Constraint
            && fact.relation == USERS
            && fact.definition.contains(" REFERENCES auth.users(")
            || fact.kind == Kind::Trigger
                && fact.relation == "auth.users"
                && makes_users(fact, state)
    })
}

fn makes_users(trigger: &Fact, state: &SchemaState) -> bool {
    let functions = state.facts.values().filter(|fact| fact.kind == Kind::Function);
    let name = |fact: &Fact| fact.relation.split('(').next().unwrap_or_default().to_owned();
    functions.into_iter().any(|function| {
        trigger.definition.contains(&format!(" {}(", name(function)))
            && function.definition.contains("users")
    })
}

fn compares(policy: &str, column: &str) -> bool {
    let uid = "auth.uid()";
    policy.contains(uid)
        && [
            format!("({column} = "),
            format!(" = {column})"),
            format!(".{column} = "),
            format!(".{column})"),
        ]
        .iter()
        .any(|text| policy.contains(text))
}
