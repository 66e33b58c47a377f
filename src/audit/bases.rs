//! Tables that two files define differently, and keys to a table of users that is not the one of the logins.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use tokio_postgres::Client;

use super::auth_users::refer_to_auth;
use super::definition::Definition;
use super::error::Error;
use super::files::SqlFile;
use super::finding::{Finding, Place, Severity};
use super::makers::Makers;
use super::replay::Replay;
use super::schema_state::SchemaState;
use super::script::Script;
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
    /// The file of that definition, by number.
    holder: usize,
    /// The files of the other definitions.
    others: Vec<usize>,
    /// Those of all these files that do not run for no other reason.
    explained: Vec<usize>,
    /// What only bases make that are not deployed.
    undeployed: HashSet<Key>,
}

impl Contested {
    /// Whether the database differs from the files in this only since it has another of their definitions. `None` where
    /// no definition says anything of it.
    pub(super) fn explains(&self, difference: &Difference) -> Option<bool> {
        let Difference { object, change } = difference;
        if *change == Change::Missing && self.undeployed.contains(&object.key()) {
            return Some(true);
        }
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

    /// Whether a file does not run only since another one has made the table first.
    pub(super) fn is_why(&self, file: usize) -> bool {
        self.explained.contains(&file)
    }

    /// Takes what only its other files make for what their base would add. A file of which another table is deployed is no
    /// base of that kind.
    pub(super) fn find_undeployed(&mut self, makers: &Makers<'_>, known: &SchemaState) {
        let is_deployed = |file: &usize| {
            let own =
                makers.of.iter().filter(|(key, by)| key.0 == Kind::Table && by.contains(file));
            own.into_iter().any(|(key, _)| {
                key.1.replace('"', "") != self.name && known.facts.contains_key(key)
            })
        };
        let bases: Vec<usize> = self.others.iter().copied().filter(|it| !is_deployed(it)).collect();
        let own = makers.of.iter().filter(|(_, by)| by.iter().all(|file| bases.contains(file)));
        let missing = own.filter(|(key, _)| !known.facts.contains_key(*key));
        self.undeployed = missing.map(|(key, _)| key.clone()).collect();
        let mut tables: Vec<&Key> =
            self.undeployed.iter().filter(|key| key.0 == Kind::Table).collect();
        tables.sort();
        for (_, table, _) in tables {
            self.finding.also(&format!("the other base would add table {table}"));
        }
    }
}

/// Files of deployed definitions that do not run, and those that keep them from that.
#[derive(Debug, Default)]
pub(super) struct Deployed {
    /// With each of them before those that keep it from running.
    pub(super) order: Vec<usize>,
    pub(super) holders: Vec<usize>,
    pub(super) others: Vec<usize>,
}

/// `None` where there is no such file.
pub(super) fn deployed_first(
    contested: &[Contested],
    replay: &Replay,
    order: &[usize],
) -> Option<Deployed> {
    let mut found = Deployed { order: order.to_vec(), ..Deployed::default() };
    let fails = |it: &&Contested| replay.has_failed(it.holder) && it.is_why(it.holder);
    for it in contested.iter().filter(fails) {
        let is_other = |file: &mut usize| it.others.contains(file) && *file != it.holder;
        let others: Vec<usize> = found.order.extract_if(.., is_other).collect();
        let place = found.order.iter().position(|file| *file == it.holder)? + 1;
        found.order.splice(place..place, others.iter().copied());
        found.holders.push(it.holder);
        found.others.extend(others);
    }
    (!found.holders.is_empty()).then_some(found)
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
    let mut by_table = tables(files, &all);
    by_table.retain(|_, statements| {
        let several: BTreeSet<usize> = statements.iter().map(|(file, _)| *file).collect();
        several.len() > 1
    });
    let alone = alone(client, files, replay, &by_table).await?;
    let mut contested = Vec::new();
    for (name, statements) in by_table {
        let mut variants = Vec::new();
        for (file, statement) in statements {
            let facts = match alone.get(&file) {
                Some(facts) => of_table(facts, &name),
                None => try_out(client, &name, statement).await?,
            };
            variants.push(Variant { file, statement, facts });
        }
        let differ = variants.windows(2).any(|pair| match pair {
            [a, b] => a.facts != b.facts && !a.facts.is_empty() && !b.facts.is_empty(),
            _ => false,
        });
        if differ {
            let there = if is_live { "the database" } else { "the order of the files" };
            let conflict = Conflict { name: &name, variants: &variants, files, known, there };
            let (mut finding, best) = (conflict.finding(), conflict.best());
            let Some(holder) = variants.get(best) else { continue };
            let (holder, deployed) = (holder.file, holder.facts.clone());
            let mut others: Vec<usize> = variants.iter().map(|it| it.file).collect();
            let mut explained = others.clone();
            others.retain(|file| *file != holder);
            explained.retain(|file| alone.contains_key(file));
            for (index, failure) in &replay.failures {
                if let Some(file) = files.get(*index).filter(|_| explained.contains(index)) {
                    let (name, line, said) = (&file.name, failure.line, &failure.message);
                    finding.also(&format!("{name}:{line}, after the other file: {said}"));
                }
            }
            let undeployed = HashSet::new();
            contested.push(Contested {
                name,
                finding,
                deployed,
                holder,
                others,
                explained,
                undeployed,
            });
        }
    }
    Ok(contested)
}

/// What each file that does not run makes where nobody has made its tables before; without those that do not run then,
/// either.
async fn alone(
    client: &Client,
    files: &[SqlFile],
    replay: &Replay,
    tables: &BTreeMap<String, Vec<(usize, Statement<'_>)>>,
) -> Result<BTreeMap<usize, BTreeMap<Key, Fact>>, Error> {
    let mut made = BTreeMap::new();
    for (index, _) in replay.failures.iter().filter(|(_, failure)| !failure.is_final()) {
        let own = tables.iter().filter(|(_, by)| by.iter().any(|(file, _)| file == index));
        let names: Vec<&str> = own.map(|(name, _)| name.as_str()).collect();
        let Some(file) = files.get(*index).filter(|_| !names.is_empty()) else { continue };
        let sql = Script::of(&file.text).within_transaction();
        if let Some(facts) = after(client, &names, &sql).await? {
            made.insert(*index, facts);
        }
    }
    Ok(made)
}

/// The table as one statement alone makes it.
async fn try_out(
    client: &Client,
    name: &str,
    statement: Statement<'_>,
) -> Result<BTreeMap<Key, Fact>, Error> {
    let facts = after(client, &[name], statement.text).await?;
    Ok(facts.map(|facts| of_table(&facts, name)).unwrap_or_default())
}

fn of_table(facts: &BTreeMap<Key, Fact>, name: &str) -> BTreeMap<Key, Fact> {
    let own = facts
        .iter()
        .filter(|(key, fact)| DEFINED.contains(&key.0) && fact.home.replace('"', "") == name);
    own.map(|(key, fact)| (key.clone(), fact.clone())).collect()
}

/// What is there after these tables were dropped and this was run; `None` where it does not run. Nothing of it stays.
async fn after(
    client: &Client,
    tables: &[&str],
    sql: &str,
) -> Result<Option<BTreeMap<Key, Fact>>, Error> {
    let doing = || query("try a definition of a table");
    let set =
        "begin; set local statement_timeout = '60s'; set local search_path = public, extensions";
    client.batch_execute(set).await.map_err(doing())?;
    let drop = |table: &&str| {
        let quoted: Vec<String> = table.split('.').map(in_quotes).collect();
        format!("drop table if exists {} cascade;", quoted.join("."))
    };
    let drop: String = tables.iter().map(drop).collect();
    let made = async {
        client.batch_execute(&drop).await?;
        client.batch_execute(sql).await
    };
    let mut facts = None;
    if made.await.is_ok() {
        client.batch_execute(&session_settings::local()).await.map_err(doing())?;
        facts = Some(SchemaState::read_facts(client).await?);
    }
    client.batch_execute("rollback").await.map_err(doing())?;
    Ok(facts)
}

/// How many facts of a definition are there as it says, and how many it has.
pub(super) fn score(facts: &BTreeMap<Key, Fact>, known: &SchemaState) -> (usize, usize) {
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
///
/// `known` is what the database has, or what the files make. Where files define these users differently, its definition
/// counts.
pub(super) fn wrong_users(
    state: &SchemaState,
    makers: &Makers<'_>,
    known: &SchemaState,
    contested: &[Contested],
) -> Vec<Finding> {
    let is_contested = contested.iter().any(|it| it.name == USERS);
    if !state.has(Kind::Table, USERS) || is_tied(state) || is_contested && is_tied(known) {
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
            let fix = if known.facts.contains_key(&fact.key()) {
                format!(
                    "alter table {relation} drop constraint {part}, add constraint {part} {fixed} not valid;\n\
                     alter table {relation} validate constraint {part};"
                )
            } else {
                "write auth.users in place of users in the file: the database has no such key".to_owned()
            };
            Finding {
                place: makers.place(fact),
                evidence: format!("{definition}\n{} {}", policy.part, policy.definition),
                impact: "No row can have an owner who may see it, unless both tables have the same ids by chance.",
                fix,
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

/// The statements of all files that ran and make a table, by its name.
fn tables<'a>(
    files: &'a [SqlFile],
    order: &[usize],
) -> BTreeMap<String, Vec<(usize, Statement<'a>)>> {
    let mut tables: BTreeMap<String, Vec<(usize, Statement<'a>)>> = BTreeMap::new();
    for index in order {
        for statement in files.get(*index).map(SqlFile::statements).unwrap_or_default() {
            if let Some(definition) = Definition::of(&statement).filter(|it| it.what == "table") {
                tables.entry(definition.name).or_default().push((*index, statement));
            }
        }
    }
    tables
}
