//! The database against what the files make: a status for each object, and a finding for each that is not as it should be.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::bases::Contested;
use super::causes::Consequence;
use super::definition::Definition;
use super::finding::{Finding, Severity};
use super::item::{Component, Item};
use super::makers::Makers;
use super::partitions;
use super::renames::{self, Renamed};
use super::report::Status;
use super::schema_state::SchemaState;
use super::step::{Manual, Step};
use crate::schema::{Change, Difference, Fact, Key, Kind};
use crate::sql_text::pasteable;

/// The database and the files side by side: all differences, and the objects that they are about.
#[derive(Debug)]
pub(super) struct Comparison {
    pub(super) differences: Vec<Difference>,
    items: BTreeMap<Item, State>,
    /// Tables of the database that callers of the API may use, without row security.
    open: BTreeSet<String>,
    renamed: Vec<Renamed>,
    /// What a partition has of its parent, where it was attached or detached.
    moved: HashSet<Item>,
}

#[derive(Debug, Default)]
struct State {
    home: String,
    in_files: bool,
    in_database: bool,
    /// The first fact of the files about it.
    made: Option<Fact>,
    /// Places in the list of all.
    differences: Vec<usize>,
    /// The object without which it cannot be there, and which is missing or extra itself.
    follows: Option<Item>,
}

impl State {
    /// The word for it in the status table, such as `missing`.
    fn word(&self) -> &'static str {
        match (self.in_files, self.in_database) {
            _ if self.differences.is_empty() => "synced",
            (true, false) => "missing",
            (false, true) => "extra",
            (true, true) | (false, false) => "different",
        }
    }
}

impl Comparison {
    /// An extension that nobody's files make is the platform's.
    pub(super) fn of(expected: &SchemaState, found: &SchemaState) -> Self {
        let theirs: Vec<Fact> = found
            .in_order()
            .into_iter()
            .filter(|fact| fact.kind != Kind::Extension || expected.facts.contains_key(&fact.key()))
            .collect();
        let mut items: BTreeMap<Item, State> = BTreeMap::new();
        for fact in expected.facts.values() {
            let state = items.entry(Item::of(fact)).or_default();
            (state.in_files, state.home) = (true, fact.home.clone());
            state.made.get_or_insert_with(|| fact.clone());
        }
        for fact in &theirs {
            let state = items.entry(Item::of(fact)).or_default();
            (state.in_database, state.home) = (true, fact.home.clone());
        }
        let differences = crate::schema::compare(&expected.in_order(), &theirs);
        for (place, difference) in differences.iter().enumerate() {
            let state = items.entry(Item::of(&difference.object)).or_default();
            state.differences.push(place);
        }
        let renamed = renames::find(&differences, expected, found);
        let moved = HashSet::new();
        let mut comparison = Self { differences, items, open: open(found), renamed, moved };
        comparison.follow(expected, found);
        comparison
    }

    /// Finds out what is missing, or extra, only since something else is.
    fn follow(&mut self, expected: &SchemaState, found: &SchemaState) {
        let whole = |word: &str| -> HashSet<Item> {
            let them = self.items.iter().filter(|(_, state)| state.word() == word);
            them.map(|(item, _)| item.clone()).collect()
        };
        let (gone, added) = (whole("missing"), whole("extra"));
        let heads = |items: &HashSet<Item>| -> HashMap<String, Item> {
            let heads = items.iter().filter(|item| item.component.is_head());
            heads.map(|item| (item.object.clone(), item.clone())).collect()
        };
        let whole = |items: HashSet<Item>, change: Change| {
            let heads = heads(&items);
            let facts = self.differences.iter().filter(|it| it.change == change);
            // A column may get or lose a sequence, and stay.
            let is_whole = |fact: &&Fact| {
                matches!(fact.kind, Kind::Sequence | Kind::Identity)
                    || items.contains(&Item::of(fact))
            };
            let facts = facts.map(|it| &it.object).filter(is_whole);
            Causes { heads, facts: facts.collect(), items }
        };
        let (gone, added) = (whole(gone, Change::Missing), whole(added, Change::Extra));
        let (mut follows, mut moved) = (Vec::new(), HashSet::new());
        for (item, state) in self.items.iter().filter(|(_, state)| !state.differences.is_empty()) {
            let own = || state.differences.iter().filter_map(|place| self.differences.get(*place));
            let renamed = self.renamed.iter().find(|it| it.explains(item, own(), expected, found));
            if let Some(renamed) = renamed {
                follows.push((item.clone(), renamed.item()));
                continue;
            }
            let with = |it| partitions::moved_with(it, &self.differences, [expected, found]);
            if let Some(parted) = own().map(with).collect::<Option<Vec<Item>>>() {
                follows.extend(parted.into_iter().next().map(|parted| (item.clone(), parted)));
                moved.insert(item.clone());
                continue;
            }
            let causes: Vec<Option<Item>> = state
                .differences
                .iter()
                .filter_map(|place| self.differences.get(*place))
                .map(|difference| match difference.change {
                    // As the files make it, what differs cannot be there either.
                    Change::Missing | Change::Differs { .. } => {
                        gone.of(&difference.object, item, &expected.needs)
                    }
                    Change::Extra => added.of(&difference.object, item, &found.needs),
                    Change::Removed { .. } => None,
                })
                .collect();
            // Of something that is there otherwise, each difference has to have one.
            let is_whole = state.word() != "different";
            if is_whole || causes.iter().all(Option::is_some) {
                let cause = causes.into_iter().flatten().next();
                follows.extend(cause.map(|cause| (item.clone(), cause)));
            }
        }
        self.moved = moved;
        for (item, cause) in follows {
            if let Some(state) = self.items.get_mut(&item) {
                state.follows = Some(cause);
            }
        }
    }

    /// The finding that an object's differences are part of.
    pub(super) fn headline(&self, item: &Item) -> Item {
        let mut item = item;
        // No circle is longer.
        for _ in 0..32 {
            match self.items.get(item).and_then(|state| state.follows.as_ref()) {
                Some(cause) if cause != item => item = cause,
                Some(_) | None => break,
            }
        }
        item.clone()
    }

    /// The id of the finding that tells of an object.
    fn id_of(&self, item: &Item) -> String {
        let kind = match self.items.get(item).map_or("", State::word) {
            "missing" => item.component.missing(),
            "extra" => item.component.extra(),
            _ => item.component.different(),
        };
        Finding::new(kind, Severity::Note, &item.object, String::new()).id
    }

    /// What was renamed needs nothing but its name, and that is a person's to give back. What a partition has of its parent
    /// comes and goes with that.
    pub(super) fn without_what_comes_along(&self, steps: &mut Vec<Step>) {
        steps.retain(|step| !self.moved.contains(&step.item));
        for renamed in &self.renamed {
            let own = renamed.item();
            steps.retain(|step| step.item == own || self.headline(&step.item) != own);
            for step in steps.iter_mut().filter(|step| step.item == own) {
                renamed.replace(step);
            }
        }
    }

    /// Leaves steps to a person whose differences are not told as findings of their own, and says why. Without those that
    /// take away what files that never ran may make.
    pub(super) fn only_what_is_told(
        &self,
        steps: Vec<Step>,
        claimed: &[Definition],
        doubted: &HashMap<String, String>,
        contested: &[Contested],
    ) -> Vec<Step> {
        let mut kept = Vec::new();
        for mut step in steps {
            let item = self.headline(&step.item);
            let doubted = doubted.get(&self.id_of(&item));
            let is_extra = self.items.get(&item).is_some_and(|state| state.word() == "extra");
            if is_extra && (doubted.is_some() || is_claimed(&item, claimed)) {
                continue;
            }
            if let Some(contested) = self.contested(&item, contested) {
                step.leave_all(&format!(
                    "Files define table {} differently (conflicting_base). Take one of the definitions out of them first.",
                    contested.name
                ));
            } else if let Some(file) = doubted {
                step.leave_all(&format!("{file} may make it otherwise, and did not run."));
            }
            kept.push(step);
        }
        kept
    }

    /// The table whose other definition makes all the difference of an object.
    fn contested<'c>(&self, item: &Item, contested: &'c [Contested]) -> Option<&'c Contested> {
        let state = self.items.get(item)?;
        contested.iter().find(|contested| {
            let own = state.differences.iter().filter_map(|place| self.differences.get(*place));
            let explained: Vec<bool> = own.filter_map(|it| contested.explains(it)).collect();
            !explained.is_empty() && explained.iter().all(|it| *it)
        })
    }

    /// The status table: one row for each object of the files or the database.
    pub(super) fn status(&self) -> Vec<Status> {
        let mut touched: BTreeSet<&str> = BTreeSet::new();
        for (item, state) in &self.items {
            let own = ![Component::Comment, Component::Owner].contains(&item.component);
            if own && !state.differences.is_empty() {
                touched.insert(&state.home);
            }
        }
        let row = |(item, state): (&Item, &State)| {
            let partial = item.component == Component::Table
                && state.in_files
                && state.in_database
                && touched.contains(item.object.as_str());
            Status {
                component: item.component.as_str(),
                object: item.object.clone(),
                in_files: state.in_files,
                in_database: state.in_database,
                status: if partial { "partial" } else { state.word() },
            }
        };
        self.items.iter().map(row).collect()
    }

    /// One finding for each object that is not as it should be, but for what follows from another one, and for what a file
    /// claims to make that never ran, or for another definition of a contested table: that is told of the file, or of the
    /// table.
    pub(super) fn findings(
        &self,
        makers: &Makers<'_>,
        steps: &[Step],
        claimed: &[Definition],
        contested: &[Contested],
    ) -> Vec<Finding> {
        let mut fixes: HashMap<Item, Vec<&Step>> = HashMap::new();
        for step in steps {
            fixes.entry(self.headline(&step.item)).or_default().push(step);
        }
        let told = self.items.iter().filter(|(item, state)| {
            let is_claimed = state.word() == "extra" && is_claimed(item, claimed);
            !state.differences.is_empty()
                && self.headline(item) == **item
                && !is_claimed
                && self.contested(item, contested).is_none()
        });
        told.map(|(item, state)| {
            let steps = fixes.get(item).map(Vec::as_slice).unwrap_or_default();
            self.finding(item, state, makers, steps)
        })
        .collect()
    }

    /// What is told with something else.
    pub(super) fn consequences(&self, makers: &Makers<'_>) -> Vec<Consequence> {
        let differing = self.items.iter().filter(|(_, state)| !state.differences.is_empty());
        let with = differing.map(|(item, state)| (item, state, self.headline(item)));
        with.filter(|(item, _, headline)| headline != *item)
            .map(|(item, state, headline)| Consequence {
                finding: self.finding(item, state, makers, &[]),
                of: self.id_of(&headline),
            })
            .collect()
    }

    fn finding(&self, item: &Item, state: &State, makers: &Makers<'_>, steps: &[&Step]) -> Finding {
        let component = item.component;
        let word = state.word();
        let what = component.as_str();
        let object = &item.object;
        let (kind, message) = match word {
            "missing" => (
                component.missing(),
                format!("{what} {object} is in the files and not in the database"),
            ),
            "extra" => (
                component.extra(),
                format!("{what} {object} is in the database and not in the files"),
            ),
            _ => (
                component.different(),
                format!("{what} {object} is in the database otherwise than in the files"),
            ),
        };
        let mut finding = Finding::new(kind, severity(component, word), object, message);
        let own: Vec<&Difference> =
            state.differences.iter().filter_map(|place| self.differences.get(*place)).collect();
        let place = own.iter().filter(|difference| difference.change != Change::Extra).find_map(
            |difference| match word {
                // Later files only add to it.
                "missing" if component == Component::Type => makers.origin(&difference.object),
                _ => makers.place(&difference.object),
            },
        );
        let place = place.or_else(|| makers.place(state.made.as_ref()?));
        // The id does not depend on the file: the object may move to another one.
        finding.place = place;
        let evidence = own.iter().map(|difference| evidence(difference));
        finding.evidence = evidence.collect::<Vec<_>>().join("\n");
        finding.impact = impact(component, word);
        finding.fix = fix(steps);
        if let Some(renamed) = self.renamed.iter().find(|it| it.item() == *item) {
            finding.also(&renamed.evidence());
        }
        if kind == "extra_table" && self.open.contains(object) {
            finding.severity = Severity::Error;
            finding.impact = "Whoever has the public key reads or writes all of its rows.";
            finding.also("callers of the API may use it, and it has no row security");
        }
        finding
    }
}

/// Tables that callers of the API may use, without row security.
pub(super) fn open(found: &SchemaState) -> BTreeSet<String> {
    let given = found.facts.values().filter(|fact| {
        fact.kind == Kind::Grant && ["anon", "authenticated"].contains(&fact.part.as_str())
    });
    let tables = given.map(|fact| &fact.relation).filter(|name| {
        name.starts_with("public.")
            && found.has(Kind::Table, name)
            && !found.has(Kind::RowSecurity, name)
    });
    tables.cloned().collect()
}

/// Whether one of these makes it, by its name.
fn is_claimed(item: &Item, claimed: &[Definition]) -> bool {
    let object = item.object.replace('"', "");
    claimed.iter().any(|definition| {
        let name = definition.name.split('(').next().unwrap_or_default();
        match object.split_once(" on ") {
            // A policy or a trigger.
            Some((own, table)) => name == format!("{table}.{own}"),
            None => name == object.split('(').next().unwrap_or_default(),
        }
    })
}

/// What is missing, or extra, as a whole.
struct Causes<'a> {
    items: HashSet<Item>,
    /// Those to which others can belong, by name.
    heads: HashMap<String, Item>,
    facts: Vec<&'a Fact>,
}

impl Causes<'_> {
    /// What a fact cannot be there without.
    fn of(&self, fact: &Fact, own: &Item, needs: &HashMap<Key, Vec<Key>>) -> Option<Item> {
        let Self { items, heads, facts } = self;
        let home = heads.get(&fact.home).filter(|head| *head != own);
        if let Some(home) = home {
            return Some(home.clone());
        }
        if own.component == Component::Comment {
            let target = own.object.trim_start_matches("materialized ");
            let target = target.split_once(' ').map(|(_, target)| target);
            let named = items.iter().find(|item| Some(item.object.as_str()) == target);
            if let Some(named) = named {
                return Some(named.clone());
            }
        }
        let needed = needs.get(&fact.key()).into_iter().flatten();
        let item = |key: &Key| {
            let (kind, relation, part) = key.clone();
            let (home, definition) = (String::new(), String::new());
            Item::of(&Fact { kind, home, relation, part, definition, echo: None })
        };
        let is_other = |item: &Item| item != own;
        needed.map(item).find(|item| is_other(item) && items.contains(item)).or_else(|| {
            let with = facts.iter().filter(|other| fact.goes_with(other));
            with.map(|other| Item::of(other)).find(is_other)
        })
    }
}

fn severity(component: Component, word: &str) -> Severity {
    match component {
        Component::Comment | Component::Owner => Severity::Note,
        Component::Index => Severity::Warning,
        _ if word == "extra" => Severity::Warning,
        Component::Schema
        | Component::Extension
        | Component::Type
        | Component::Sequence
        | Component::Table
        | Component::Column
        | Component::Constraint
        | Component::View
        | Component::Function
        | Component::RowSecurity
        | Component::Policy
        | Component::Trigger
        | Component::Rule
        | Component::Grant
        | Component::Publication => Severity::Error,
    }
}

fn evidence(difference: &Difference) -> String {
    let Fact { kind, definition, .. } = &difference.object;
    let kind = kind.as_str();
    match &difference.change {
        Change::Missing | Change::Removed { .. } => format!("{kind} in the files: {definition}"),
        Change::Extra => format!("{kind} in the database: {definition}"),
        Change::Differs { found } => {
            format!("{kind} in the files: {definition}\n{kind} in the database: {found}")
        }
    }
}

fn impact(component: Component, word: &str) -> &'static str {
    match (component, word) {
        (Component::Comment, _) => "None for programs.",
        (Component::Owner, _) => "Another role may change it.",
        (Component::Index, "missing") => "Queries read more than they have to.",
        (Component::Index, "extra") => "Writes keep it up to date, and no file makes it again.",
        (Component::RowSecurity, "missing") => {
            "Policies do not apply: every row is open to all who may use the table."
        }
        (Component::Policy, "missing") => "Rows that it would show or take are refused.",
        (Component::Policy, "extra") => "It may show or take rows that the files would refuse.",
        (Component::Policy, _) => "Other rows are shown or taken than the files say.",
        (Component::Grant, "extra") => "A role may do what the files do not allow.",
        (Component::Grant, "missing") => "A role is refused what the files allow.",
        (_, "extra") => "A database that is built from the files lacks it.",
        (_, "missing") => "What uses it fails.",
        _ => "Code that is written for the files meets another schema.",
    }
}

/// As it could be pasted. What could lose something is a comment.
fn fix(steps: &[&Step]) -> String {
    let mut lines: Vec<String> = Vec::new();
    for step in steps {
        let own = step.first.iter().chain(&step.statements);
        lines.extend(own.map(|statement| format!("{statement};")));
    }
    for step in steps {
        lines.extend(step.later.iter().map(|statement| format!("{statement};")));
    }
    for step in steps {
        lines.extend(step.by_hand.iter().flat_map(Manual::lines));
    }
    lines.join("\n")
}

impl Manual {
    /// As comments: the reason, then the statements.
    pub(super) fn lines(&self) -> Vec<String> {
        let statements = self.statements.iter().map(|it| commented(&pasteable(it)));
        std::iter::once(format!("-- why: {}", self.why)).chain(statements).collect()
    }
}

/// A statement with each of its lines as a comment.
pub(super) fn commented(statement: &str) -> String {
    let lines: Vec<String> = statement.lines().map(|line| format!("-- {line}")).collect();
    lines.join("\n") + ";"
}
