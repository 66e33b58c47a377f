//! What each statement of the templates made, and which of them make a missing thing again.

use std::collections::{HashMap, HashSet};

use super::agents_key::rewrite;
use super::difference::{Change, Difference};
use super::equivalents::is_foreign_key;
use super::fact::{Fact, Key};
use super::kind::Kind;
use super::sql::bare;
use crate::sql_text::{self, Reader};

/// A statement of a template, for one agent, and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) sql: String,
    /// Whether schema public is in the path while it runs.
    pub(crate) public_path: bool,
    /// Tables and types that later statements call otherwise: what each was called when it ran, and is called in the end.
    pub(crate) called: Vec<(String, String)>,
    /// The tables and types that it made or changed.
    pub(crate) homes: Vec<Home>,
    /// The facts that it made or changed, as they were then.
    pub(crate) made: Vec<Fact>,
    /// Those that it took away.
    pub(crate) gone: Vec<Fact>,
    /// Whether it does the same once more, and writes no row: see [`is_definition`].
    pub(crate) defines: bool,
    /// Whether it makes nothing again, for it fails by now, or is about the same as one that does.
    pub(crate) passed_over: bool,
}

/// A table or a type of the templates.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Home {
    /// It is there in the end; by bare name.
    Lasting(String),
    /// A later statement drops it. The number tells it from others.
    Dropped(u32),
}

impl Home {
    pub(super) fn is_one_of(&self, lasting: &HashSet<&str>) -> bool {
        self.is_in(lasting, &HashSet::new())
    }

    pub(super) fn lasting(&self) -> Option<&str> {
        match self {
            Self::Lasting(name) => Some(name),
            Self::Dropped(_) => None,
        }
    }

    fn is_in(&self, lasting: &HashSet<&str>, dropped: &HashSet<u32>) -> bool {
        match self {
            Self::Lasting(name) => lasting.contains(name.as_str()),
            Self::Dropped(number) => dropped.contains(number),
        }
    }
}

impl Recorded {
    /// As it could be run in psql, without its last semicolon.
    pub(crate) fn to_sql(&self) -> String {
        let sql = rewrite(&self.sql);
        if self.public_path {
            return format!(
                "set local search_path = public, pg_temp;\n{sql};\nset local search_path = pg_catalog, pg_temp"
            );
        }
        sql
    }

    /// Whether all that it made is something that nothing else rests on.
    pub(crate) fn is_about_parts(&self) -> bool {
        let is_part = |fact: &Fact| {
            matches!(
                fact.kind,
                Kind::ColumnStorage
                    | Kind::ColumnCompression
                    | Kind::ColumnStatistics
                    | Kind::ColumnOptions
                    | Kind::Policy
                    | Kind::Grant
                    | Kind::ColumnGrant
                    | Kind::Comment
            ) || is_foreign_key(fact)
        };
        self.defines && !self.made.is_empty() && self.made.iter().all(is_part)
    }

    /// Whether it makes a table, and no child, like another one, by a query, or by code, or a type by code. What it made is made of
    /// the facts.
    pub(super) fn copies(&self) -> bool {
        let has = |kind| self.made.iter().any(|fact| fact.kind == kind);
        !self.defines && (has(Kind::Table) || has(Kind::Type)) && !has(Kind::Parent)
    }

    /// Whether it makes tables like others, and nothing by a query.
    pub(super) fn is_like(&self) -> bool {
        let has = |word| Reader::new(&self.sql).any(|token| token.is(word));
        Reader::new(&self.sql).words("create") && has("like") && !has("as")
    }

    /// With the names that tables and types have by now, but for those that are missing: they get theirs on the way.
    fn with_names_of_now(&self, missing: &HashSet<&str>) -> Self {
        if self.called.is_empty() {
            return self.clone();
        }
        let known = self.called.iter().filter(|(_, now)| !missing.contains(now.as_str()));
        let known: Vec<_> = known.map(|(then, now)| (then.as_str(), now.as_str())).collect();
        let rename = |text: &str| sql_text::rename(text, &known);
        let home = |home: &str| {
            let called = self.called.iter().find(|(then, _)| then == home);
            called.map_or_else(|| home.to_owned(), |(_, now)| now.clone())
        };
        let facts = |facts: &[Fact]| facts.iter().map(|fact| fact.map(rename, home)).collect();
        let (made, gone) = (facts(&self.made), facts(&self.gone));
        Self { sql: rename(&self.sql), made, gone, ..self.clone() }
    }

    fn keys(&self) -> impl Iterator<Item = &Fact> {
        self.made.iter().chain(&self.gone)
    }
}

/// Missing tables and types, made again by the template's own statements.
#[derive(Debug, Default)]
pub(crate) struct Remake {
    /// In this order, all or none.
    pub(crate) statements: Vec<Recorded>,
    /// What then is as it should be.
    covered: HashMap<Key, String>,
    /// Rights that are there then, and should not be.
    pub(super) surplus: Vec<Fact>,
}

impl Remake {
    /// Of what is missing as a whole: the statements that touch nothing else, and nothing but what later ones drop. One that also
    /// touches a table that stands is left out, whatever else it does. So is one that could write rows: these are filled in later.
    pub(super) fn of(drift: &[Difference], history: &[Recorded]) -> Self {
        let missing = missing_homes(drift);
        let (homes, dropped) = remade(missing.clone(), history);
        let own = history.iter().filter(|statement| is_own(statement, &homes, &dropped));
        let unmade: Vec<&str> = missing.difference(&homes).copied().collect();
        let own = own.filter(|statement| !mentions_one(statement, &unmade));
        let statements: Vec<Recorded> =
            own.map(|statement| statement.with_names_of_now(&homes)).collect();
        let mut facts: HashMap<Key, Fact> = HashMap::new();
        for statement in &statements {
            for fact in &statement.gone {
                facts.remove(&fact.key());
            }
            facts.extend(statement.made.iter().map(|fact| (fact.key(), fact.clone())));
        }
        let wanted: HashSet<Key> = drift
            .iter()
            .filter(|drift| drift.change != Change::Extra)
            .map(|drift| drift.object.key())
            .collect();
        let is_right = |fact: &Fact| {
            matches!(fact.kind, Kind::Grant | Kind::ColumnGrant | Kind::OwnerRights)
                && homes.contains(fact.home.as_str())
        };
        let surplus = facts.iter().filter(|(key, fact)| !wanted.contains(*key) && is_right(fact));
        let mut surplus: Vec<Fact> = surplus.map(|(_, fact)| fact.clone()).collect();
        surplus.sort_by_key(Fact::key);
        let covered = facts.into_iter().map(|(key, fact)| (key, fact.definition)).collect();
        Self { statements, covered, surplus }
    }

    /// Passes over a statement, or all, and what else is about the same tables and types.
    pub(crate) fn pass_over(&self, failed: Option<&Recorded>, history: &mut [Recorded]) {
        let all = self.statements.iter().flat_map(|statement| &statement.homes);
        let Some(failed) = failed else { return mark(&all.collect(), history) };
        let mut homes: HashSet<&Home> = failed.homes.iter().collect();
        loop {
            let known = homes.len();
            let others = self.statements.iter().map(|statement| &statement.homes);
            let joined = others.filter(|others| others.iter().any(|home| homes.contains(home)));
            let joined: Vec<&Home> = joined.flatten().collect();
            homes.extend(joined);
            if homes.len() == known {
                return mark(&homes, history);
            }
        }
    }

    pub(super) fn makes(&self, fact: &Fact) -> bool {
        self.covered.get(&fact.key()).is_some_and(|made| fact.is(made))
    }
}

/// Those of the missing tables and types that the template's own statements make again, and what these statements drop.
///
/// Where something that stands bears a name by now that one of them had on the way, its statements would be about that. Where they
/// name another one that no statement makes again, it is not there yet.
fn remade<'a>(
    mut missing: HashSet<&'a str>,
    history: &[Recorded],
) -> (HashSet<&'a str>, HashSet<u32>) {
    let all = history.iter().flat_map(|statement| &statement.homes);
    let standing: HashSet<&str> =
        all.filter_map(Home::lasting).filter(|home| !missing.contains(home)).collect();
    let lost = missing.clone();
    loop {
        let dropped = dropped_with(&missing, history);
        let own: Vec<&Recorded> =
            history.iter().filter(|statement| is_own(statement, &missing, &dropped)).collect();
        let made = own.iter().flat_map(|statement| &statement.made);
        let mut made = made.filter(|fact| is_whole(fact));
        let taken = made.find(|fact| standing.contains(fact.home.as_str()));
        let makers = own.iter().filter(|statement| statement.made.iter().any(is_whole));
        let born = makers.flat_map(|statement| &statement.homes).filter_map(Home::lasting);
        let born: HashSet<&str> = born.collect();
        let unmade: Vec<&str> = lost.difference(&born).copied().collect();
        let fails = |statement: &&&Recorded| match taken {
            Some(taken) => {
                statement.made.contains(taken) || sql_text::mentions(&statement.sql, &taken.home)
            }
            None => !statement.is_about_parts() && mentions_one(statement, &unmade),
        };
        let mut failing = own.iter().filter(fails).peekable();
        if taken.is_none() && failing.peek().is_none() {
            return (missing, dropped);
        }
        let homes = failing.flat_map(|statement| &statement.homes);
        let homes: HashSet<&str> = homes.filter_map(Home::lasting).collect();
        if homes.is_empty() {
            return (HashSet::new(), HashSet::new());
        }
        missing.retain(|home| !homes.contains(home));
    }
}

fn is_whole(fact: &Fact) -> bool {
    matches!(fact.kind, Kind::Table | Kind::Type)
}

fn mentions_one(statement: &Recorded, homes: &[&str]) -> bool {
    homes.iter().any(|home| sql_text::mentions(&statement.sql, home))
}

/// Whether a statement defines what it names, from nothing but its own words: not what a query or code writes or makes, nor a table
/// like what another one is by now. Of a table that it makes it names the columns.
pub(crate) fn is_definition(sql: &str) -> bool {
    const VERBS: [&str; 5] = ["alter", "drop", "comment", "grant", "revoke"];
    let mut rest = Reader::new(sql);
    if VERBS.iter().any(|verb| rest.words(verb)) {
        return true;
    }
    if !rest.words("create") {
        return false;
    }
    rest.words("unlogged");
    if !rest.words("table") {
        return true;
    }
    let (mut depth, mut begins) = (0_u32, false);
    for token in rest {
        // An operator `like` stands behind an operand. A column that is generated `as` something is within parentheses.
        if depth == 0 && token.is("as") || begins && token.is("like") {
            return false;
        }
        begins = token.is_mark('(') || token.is_mark(',');
        if token.is_mark('(') {
            depth += 1;
        } else if token.is_mark(')') {
            depth = depth.saturating_sub(1);
        }
    }
    true
}

/// Passes over tables and types of which a query or code has changed what was there, or to which it has added what comes with a
/// table: no statement makes them as they were then.
pub(crate) fn pass_over_changed_by_code(history: &mut [Recorded]) {
    let (mut known, mut changed) = (HashSet::new(), HashSet::new());
    for statement in &*history {
        let makes = |home: &str| {
            let is_it = |fact: &Fact| fact.kind == Kind::Table && fact.home == home;
            statement.made.iter().any(is_it)
        };
        let comes_with_table = |fact: &Fact| {
            matches!(
                fact.kind,
                Kind::Column
                    | Kind::Default
                    | Kind::Sequence
                    | Kind::Identity
                    | Kind::InheritedColumn
                    | Kind::Parent
            ) && !makes(&fact.home)
        };
        let is_known = |fact: &Fact| known.contains(&fact.key());
        let is_touched = |fact: &Fact| is_known(fact) || comes_with_table(fact);
        if !statement.defines
            && (!statement.gone.is_empty() || statement.made.iter().any(is_touched))
        {
            changed.extend(statement.homes.iter().cloned());
        }
        known.extend(statement.made.iter().map(Fact::key));
    }
    mark(&changed.iter().collect(), history);
}

fn mark(passed_over: &HashSet<&Home>, history: &mut [Recorded]) {
    for statement in history {
        statement.passed_over |= statement.homes.iter().any(|home| passed_over.contains(home));
    }
}

fn is_own(statement: &Recorded, homes: &HashSet<&str>, dropped: &HashSet<u32>) -> bool {
    !statement.passed_over
        && (statement.defines || statement.copies())
        && !statement.homes.is_empty()
        && statement.homes.iter().all(|home| home.is_in(homes, dropped))
}

/// What later statements drop, and statements about these tables and types are about, too: such as a child of one of them. Only
/// what the statements that are about nothing else drop again.
fn dropped_with(homes: &HashSet<&str>, history: &[Recorded]) -> HashSet<u32> {
    let number = |home: &Home| match home {
        Home::Dropped(number) => Some(*number),
        Home::Lasting(_) => None,
    };
    // A statement may need one and change nothing of it: `create table … (like …)`.
    let known: Vec<(&str, u32)> = history.iter().flat_map(|made| names(made, number)).collect();
    let mut dropped: HashSet<u32> = HashSet::new();
    loop {
        let touched = history
            .iter()
            .filter(|statement| statement.homes.iter().any(|home| home.is_in(homes, &dropped)));
        let reached: HashSet<u32> = touched
            .flat_map(|statement| {
                let needed = known.iter().filter(|(name, _)| statement.sql.contains(*name));
                let needed: Vec<u32> = needed.map(|(_, number)| *number).collect();
                statement.homes.iter().filter_map(number).chain(needed)
            })
            .collect();
        if reached.len() == dropped.len() {
            break;
        }
        dropped = reached;
    }
    loop {
        let is_dropped_again = |number: &u32| {
            let mut last = history.iter().rev();
            let last = last.find(|statement| statement.homes.contains(&Home::Dropped(*number)));
            last.is_some_and(|statement| is_own(statement, homes, &dropped))
        };
        let left: HashSet<u32> = dropped.iter().copied().filter(is_dropped_again).collect();
        if left.len() == dropped.len() {
            return left;
        }
        dropped = left;
    }
}

/// What a statement makes that is dropped later: each as it is called in SQL, without its schema, and its number.
fn names(
    statement: &Recorded,
    number: impl Fn(&Home) -> Option<u32>,
) -> impl Iterator<Item = (&str, u32)> {
    let numbers: Vec<u32> = statement.homes.iter().filter_map(number).collect();
    let made = statement.made.iter().filter(|fact| matches!(fact.kind, Kind::Table | Kind::Type));
    made.flat_map(move |fact| {
        numbers.clone().into_iter().map(|number| (bare(&fact.relation), number))
    })
}

/// The tables and types that are missing as a whole, by bare name.
pub(crate) fn missing_homes(drift: &[Difference]) -> HashSet<&str> {
    let whole = |drift: &&Difference| {
        drift.change == Change::Missing && matches!(drift.object.kind, Kind::Table | Kind::Type)
    };
    drift.iter().filter(whole).map(|drift| drift.object.home.as_str()).collect()
}

/// The template's own statements for something that hangs on a table that stands, such as an index. `None`: they also
/// make other things, or are not known.
pub(super) fn own_statements(fact: &Fact, history: &[Recorded]) -> Option<Vec<String>> {
    if !fact.kind.rule().whole {
        return None;
    }
    let makes = |statement: &&Recorded| statement.keys().any(|made| made.is_same(fact));
    let statements: Vec<&Recorded> = history.iter().filter(makes).collect();
    // A name that the server chooses depends on what else is there.
    let name = fact.bare_part();
    let only_it = |statement: &&Recorded| {
        statement.defines
            && statement.sql.contains(&name)
            && statement.keys().all(|made| made.is_same(fact) || made.goes_with(fact))
    };
    let last = statements.last()?.made.iter().find(|made| made.is_same(fact))?;
    let right = fact.is(&last.definition) && statements.iter().all(only_it);
    right.then(|| statements.iter().map(|statement| statement.to_sql()).collect())
}
