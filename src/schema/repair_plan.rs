//! From differences to the SQL that ends them, as far as that loses nothing.

use std::collections::HashSet;

use super::difference::{Change, Difference};
use super::equivalents::{
    self, is_foreign_key, is_namesake, is_unchecked, lacks_check_of_rows, lacks_not_null, stand_in,
};
use super::fact::Fact;
use super::first_rows::{Fill, FirstRows, fill};
use super::heirs::{
    child, comes_by_parents, default_of, inherited_column, is_bound, is_check_of_child, is_heir,
    is_inherited, is_own_for_good,
};
use super::history::{Recorded, Remake, missing_homes, own_statements};
use super::kind::Kind;
use super::renamed_sequences::draws_from_another;
use super::rules::Acts;
use super::sql::{self, bare};
use crate::agent::Prefix;
use crate::postgres::LockMode;
use crate::sql_text::{checksum, is_word, outside};

/// What to run, and what then is still different.
#[derive(Debug, Default)]
pub(crate) struct RepairPlan {
    /// Comes first: names, for all other statements use them, then what closes doors of tables that stand.
    pub(crate) doors: Vec<Step>,
    /// Then: what tables that stand have lost. What is made by the template's own statements depends on it: a partition has
    /// what its parent has, and a row that comes by way of the parent the parent's defaults.
    pub(crate) parts: Vec<Step>,
    /// Then: missing tables by the template's own statements.
    pub(crate) remake: Remake,
    /// Then the rest, in this order.
    pub(crate) steps: Vec<Step>,
    /// Then the first rows of tables that are made again.
    pub(crate) rows: Vec<Fill>,
    /// Then the foreign keys to these of tables that stand, and what rests on them.
    pub(crate) referring: Vec<Step>,
    /// Comes last: what locks tables that all agents share.
    pub(crate) keys: Option<Keys>,
    /// For a person: mending it could lose rows, or was not asked for.
    pub left: Vec<Difference>,
}

/// Statements that take effect together.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// What they are about.
    pub(crate) kind: Kind,
    pub(crate) home: String,
    part: String,
    /// Each without its semicolon.
    pub(crate) statements: Vec<String>,
}

impl Step {
    fn of(object: &Fact, statements: Vec<String>) -> Self {
        let (home, part) = (object.home.clone(), object.part.clone());
        Self { kind: object.kind, home, part, statements }
    }

    pub(crate) fn to_sql(&self) -> String {
        self.statements.join(";\n")
    }
}

/// Foreign keys to tables outside.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    pub(crate) mode: LockMode,
    /// The tables outside.
    pub(crate) shared: Vec<String>,
    /// The agent's tables that get them.
    pub(crate) own: Vec<String>,
    pub(crate) statements: Vec<String>,
}

impl RepairPlan {
    /// Has tables that are made again filled with these rows.
    pub(crate) fn fill(&mut self, prefix: &Prefix, drift: &[Difference], rows: &[FirstRows]) {
        let missing = drift.iter().filter(|entry| entry.change == Change::Missing);
        let missing: Vec<&Fact> = missing.map(|entry| &entry.object).collect();
        self.rows = fill(prefix, rows, &missing);
    }

    /// The tables that the template's own statements make again, by bare name.
    pub(crate) fn remade<'a>(&self, drift: &'a [Difference]) -> impl Iterator<Item = &'a str> {
        let tables = drift.iter().map(|entry| &entry.object);
        let tables = tables.filter(|fact| fact.kind == Kind::Table && self.remake.makes(fact));
        tables.map(|table| table.home.as_str())
    }

    /// As it could be run in psql by a member of the worker's role, each statement without its semicolon: without checks of rows
    /// behind keys, which only the worker's own session may do.
    pub(crate) fn script(&self) -> Vec<String> {
        self.script_with(&self.rows)
    }

    fn script_with(&self, rows: &[Fill]) -> Vec<String> {
        let statements = |steps: &[Step]| {
            steps.iter().flat_map(|step| step.statements.clone()).collect::<Vec<_>>()
        };
        let mut script = statements(&self.doors);
        script.extend(statements(&self.parts));
        script.extend(self.remake.statements.iter().map(Recorded::to_sql));
        script.extend(statements(&self.steps));
        script.extend(rows.iter().flat_map(|fill| fill.statements.clone()));
        script.extend(statements(&self.referring));
        if let Some(keys) = &self.keys {
            script.push(keys.lock());
            script.extend(keys.statements.clone());
        }
        script.retain(|statement| !equivalents::checks(statement));
        script
    }

    /// Of what a confirmation is about: all but first rows, for some have other values each time, such as the time.
    pub(crate) fn checksum(&self) -> String {
        checksum(&self.script_with(&[]).join(";\n"))
    }

    fn push(&mut self, entry: &Difference, lost: &Lost<'_>, statements: Vec<String>) {
        let Difference { object, change } = entry;
        let stands = !lost.homes.contains(object.home.as_str());
        if stands && lacks_owner_rights(entry) {
            self.doors.push(Step::of(object, vec![sql::owner_grant(object)]));
        }
        let step = Step::of(object, statements);
        // What is granted may be on a column that is made first.
        let door = object.kind == Kind::RowSecurity
            || matches!(object.kind, Kind::Grant | Kind::ColumnGrant) && *change != Change::Missing
            || object.kind == Kind::OwnerRights && *change == Change::Extra;
        if object.kind == Kind::Name {
            self.doors.insert(0, step);
        } else if object.kind == Kind::SequenceName {
            let is_name = |step: &&Step| matches!(step.kind, Kind::Name | Kind::SequenceName);
            self.doors.insert(self.doors.iter().take_while(is_name).count(), step);
        } else if door && stands {
            self.doors.push(step);
        } else if stands && self.goes_before_remake(&step, lost) {
            self.parts.push(step);
        } else if stands && self.goes_after_rows(object, lost) {
            self.referring.push(step);
        } else {
            self.steps.push(step);
        }
    }

    /// Whether it is about rows of a table that stands, and what they refer to in one that is made again.
    fn goes_after_rows(&self, object: &Fact, lost: &Lost<'_>) -> bool {
        is_foreign_key(object) && lost.is_named_in(&object.definition)
            || object.kind == Kind::Policy
                && self.referring.iter().any(|key| key.home == object.home)
    }

    /// Whether it needs nothing that is missing as a whole. What comes later in a table's order may rest on what came before,
    /// and a child has a check by its parent.
    fn goes_before_remake(&self, step: &Step, lost: &Lost<'_>) -> bool {
        let rests_on = |other: &Step| {
            other.home == step.home || (other.kind, &other.part) == (step.kind, &step.part)
        };
        !step.statements.iter().any(|sql| lost.is_named_in(sql)) && !self.steps.iter().any(rests_on)
    }
}

/// What is missing as a whole.
struct Lost<'a> {
    /// The tables and types, by bare name.
    homes: HashSet<&'a str>,
    /// What these and their sequences are called in SQL, without the schema: as a name and within a constant.
    names: HashSet<String>,
}

impl<'a> Lost<'a> {
    fn of(drift: &'a [Difference]) -> Self {
        let homes = missing_homes(drift);
        let is_relation = |fact: &&Fact| {
            matches!(fact.kind, Kind::Table | Kind::Type | Kind::Sequence | Kind::Identity)
                && homes.contains(fact.home.as_str())
        };
        let relations = drift.iter().map(|entry| &entry.object).filter(is_relation);
        let names = relations.flat_map(|fact| {
            let name = bare(&fact.relation);
            [name.to_owned(), name.replace('\'', "''")]
        });
        let names = names.collect();
        Self { homes, names }
    }

    fn is_named_in(&self, sql: &str) -> bool {
        self.names.iter().any(|name| {
            sql.match_indices(name.as_str()).any(|(at, _)| {
                let (before, after) = (sql.get(..at), sql.get(at + name.len()..));
                let before = before.and_then(|text| text.chars().next_back());
                let after = after.and_then(|text| text.chars().next());
                !before.is_some_and(is_word) && !after.is_some_and(is_word)
            })
        })
    }
}

impl Keys {
    fn add(&mut self, statement: String, outside: Vec<String>, key: &Fact) {
        self.statements.push(statement);
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

/// Creates what is missing, enables what is disabled, builds broken indexes anew, and renames an index, a constraint, a
/// policy, a trigger or a column's sequence that is only called otherwise. With `force` also replaces what differs and takes away what is
/// extra, as far as the list of kinds allows, and forbids nulls where there are none.
///
/// What is missing as a whole is made by the template's own statements, as far as `history` knows them, and without its first
/// rows, see [`RepairPlan::fill`]. All else is put together from the catalog. Other tables, columns and constraints that are there are never changed.
pub(crate) fn plan_repair(
    prefix: &Prefix,
    drift: &[Difference],
    force: bool,
    history: &[Recorded],
) -> RepairPlan {
    let remake = remake(prefix, drift, history);
    let mut plan = RepairPlan { remake, ..RepairPlan::default() };
    let whole = Lost::of(drift);
    let missing: Vec<&Fact> =
        drift.iter().filter(|d| d.change == Change::Missing).map(|d| &d.object).collect();
    let mut keys = Keys::default();
    let lost = lost_sequences(&missing);
    for entry in drift {
        let object = &entry.object;
        if plan.remake.makes(object) && whole.homes.contains(object.home.as_str()) {
            continue;
        }
        let refers_to = refers_to(object, prefix);
        if !refers_to.is_empty() {
            match tie(entry, drift, &missing, force) {
                Tie::Locked(statement) => keys.add(statement, refers_to, object),
                Tie::Free(statement) => plan.steps.push(Step::of(object, vec![statement])),
                Tie::Left => plan.left.push(entry.clone()),
                Tie::Replaced => {}
            }
            continue;
        }
        let step = match &entry.change {
            Change::Missing | Change::Differs { .. }
                if lost.iter().any(|lost| object == *lost || object.needs(lost)) =>
            {
                None
            }
            Change::Differs { found } if draws_from_another(object, found) => None,
            Change::Missing | Change::Differs { .. } if has_other_column(object, drift) => None,
            Change::Missing if is_own_for_good(object, &missing) => None,
            // Whoever owns a table that stands keeps what the owner may do.
            Change::Missing
                if object.kind == Kind::OwnerRights
                    && !force
                    && !whole.homes.contains(object.home.as_str()) =>
            {
                None
            }
            Change::Missing => Some(make(object, drift, &missing, force, history)),
            Change::Differs { found } => replace(object, found, force),
            Change::Extra if missing.iter().any(|m| stand_in(m, drift, force) == Some(object)) => {
                continue;
            }
            Change::Extra if force && object.kind.rule().removed == Acts::Forced => {
                object.drop().map(|drop| vec![drop])
            }
            Change::Extra | Change::Removed { .. } => None,
        };
        match step {
            Some(step) if step.is_empty() => {}
            Some(step) => plan.push(entry, &whole, step),
            None => plan.left.push(entry.clone()),
        }
    }
    plan.steps.splice(0..0, surplus(&plan.remake));
    if !keys.statements.is_empty() {
        keys.mode = mode(drift, force);
        plan.keys = Some(keys);
    }
    plan
}

/// A table that was made as another one was is made as it was then. One that becomes a partition has to be like its parent as
/// that is by now.
fn remake(prefix: &Prefix, drift: &[Difference], history: &[Recorded]) -> Remake {
    let mut remake = Remake::of(drift, history);
    let lost = drift.iter().filter(|entry| entry.change == Change::Missing);
    let bound =
        lost.filter(|entry| is_bound(&entry.object)).map(|entry| entry.object.home.as_str());
    let bound: HashSet<&str> = bound.collect();
    let copies = |statement: &&mut Recorded| {
        let becomes_one = || statement.homes.iter().any(|home| home.is_one_of(&bound));
        statement.copies() && !(statement.is_like() && becomes_one())
    };
    for statement in remake.statements.iter_mut().filter(copies) {
        statement.sql = from_facts(&statement.made, prefix);
        statement.public_path = false;
    }
    remake
}

/// Takes away what the database grants by default on a new table, and the templates do not grant.
fn surplus(remake: &Remake) -> Vec<Step> {
    let take = |fact: &Fact| Some(Step::of(fact, vec![fact.drop()?]));
    remake.surplus.iter().filter_map(take).collect()
}

/// What a statement made, put together from the catalog.
fn from_facts(made: &[Fact], prefix: &Prefix) -> String {
    let missing = |fact: &Fact| Difference { object: fact.clone(), change: Change::Missing };
    let made: Vec<Difference> = made.iter().map(missing).collect();
    plan_repair(prefix, &made, true, &[]).script().join(";\n")
}

/// Brings something missing into being. Nothing: it comes with something else.
fn make(
    object: &Fact,
    drift: &[Difference],
    missing: &[&Fact],
    force: bool,
    history: &[Recorded],
) -> Vec<String> {
    let has_new_table = missing.iter().any(|m| m.kind == Kind::Table && m.home == object.home);
    if let Some(old) = stand_in(object, drift, force) {
        if is_foreign_key(object) && !is_namesake(object, old) {
            return equivalents::checked_key(object, Some(&old.part));
        }
        return vec![equivalents::replace(object, old)];
    }
    let with_column = || missing.iter().any(|m| m.kind == Kind::Column && object.goes_with(m));
    if comes_by_parents(object, missing)
        || matches!(object.kind, Kind::Column | Kind::Default) && has_new_table
        || object.kind == Kind::Default && with_column()
    {
        Vec::new()
    } else if object.kind == Kind::Table {
        table(object, missing)
    } else if object.kind == Kind::InheritedColumn {
        inherited_column(object, missing)
    } else if object.kind == Kind::Column {
        column(object, missing)
    } else if object.kind == Kind::Identity
        && missing.iter().any(|column| column.is_filled_by(object))
    {
        Vec::new()
    } else if is_check_of_child(object, missing) {
        vec![sql::constraint_of_child(object)]
    } else if is_foreign_key(object) && object.holds_for_rows() {
        equivalents::checked_key(object, None)
    } else {
        own_statements(object, history).unwrap_or_else(|| vec![object.create()])
    }
}

/// Makes something as it should be that is there and is not. `None`: that is for a person.
fn replace(object: &Fact, found: &str, force: bool) -> Option<Vec<String>> {
    if is_unchecked(object, found) {
        return Some(vec![equivalents::check(object)]);
    }
    if lacks_check_of_rows(object, found) {
        return Some(vec![object.fill("alter table {relation} validate constraint {part}")]);
    }
    if replaceable(object, found, force) {
        let anew = matches!(
            object.kind,
            Kind::Index
                | Kind::Policy
                | Kind::Trigger
                | Kind::Grant
                | Kind::ColumnGrant
                | Kind::Rule
        );
        let drop = object.drop().filter(|_| anew);
        let create = Some(object.create()).filter(|statement| !statement.is_empty());
        return Some(drop.into_iter().chain(create).collect());
    }
    if force && is_foreign_key(object) {
        return Some(equivalents::checked_key(object, Some(&object.part)));
    }
    if force && lacks_not_null(object, found) {
        return Some(vec![equivalents::not_null(object)]);
    }
    object.owned_again(found).filter(|_| force).map(|statement| vec![statement])
}

/// Numbers depend on the rows: a sequence is made only together with its column.
fn lost_sequences<'a>(missing: &[&'a Fact]) -> Vec<&'a Fact> {
    let is_filled = |own: &&Fact| missing.iter().any(|column| column.is_filled_by(own));
    let sequences = missing.iter().filter(|object| object.kind == Kind::Sequence);
    sequences.filter(|own| !is_filled(own)).copied().collect()
}

/// The tables outside that it refers to, if it is a foreign key.
pub(crate) fn refers_to(object: &Fact, prefix: &Prefix) -> Vec<String> {
    if is_foreign_key(object) { outside(&object.definition, prefix) } else { Vec::new() }
}

/// What is to be done about a foreign key to a table outside.
enum Tie {
    /// While that table is locked.
    Locked(String),
    Free(String),
    /// Something for a person.
    Left,
    /// It gives way to the one that it stands for.
    Replaced,
}

/// Rows are not checked while the table outside is locked: the next repair does it.
fn tie(entry: &Difference, drift: &[Difference], missing: &[&Fact], force: bool) -> Tie {
    let key = &entry.object;
    match (&entry.change, stand_in(key, drift, force)) {
        (Change::Missing, Some(old)) => Tie::Locked(equivalents::replace(key, old)),
        (Change::Missing, None) if force => Tie::Locked(equivalents::key(key, None)),
        (Change::Missing | Change::Removed { obstacle: None, .. }, _) => {
            Tie::Locked(equivalents::unchecked(key))
        }
        (Change::Differs { found }, _) if is_unchecked(key, found) => {
            Tie::Free(equivalents::check(key))
        }
        (Change::Differs { .. }, _) if force => Tie::Locked(equivalents::key(key, Some(&key.part))),
        (Change::Extra, _) if missing.iter().any(|m| stand_in(m, drift, force) == Some(key)) => {
            Tie::Replaced
        }
        (Change::Differs { .. } | Change::Extra | Change::Removed { .. }, _) => Tie::Left,
    }
}

/// With its columns, for a partition key names them, and one column may be generated from a later one. A child that has columns
/// by its parents alone is made as their child.
pub(crate) fn table(table: &Fact, missing: &[&Fact]) -> Vec<String> {
    let is_heir = is_heir(&table.home, missing);
    let own = |fact: &&&Fact| {
        fact.kind == Kind::Column
            && fact.home == table.home
            && !(is_heir && is_inherited(fact, missing))
    };
    let own: Vec<&Fact> = missing.iter().filter(own).copied().collect();
    let definitions: Vec<String> = own.iter().map(|column| with_default(column, missing)).collect();
    let mut step = if is_heir {
        child(table, &own, &definitions, missing)
    } else {
        vec![sql::table_of(table, &definitions.join(", "), &[])]
    };
    step.extend(own.iter().flat_map(|column| owned_by(column, missing)));
    step
}

/// With its default, which rows that are there get too, and as the owner of its sequence.
pub(crate) fn column(column: &Fact, missing: &[&Fact]) -> Vec<String> {
    let add = format!("alter table {} add column ", column.relation);
    let mut step = vec![add + &with_default(column, missing)];
    step.extend(owned_by(column, missing));
    step
}

fn with_default(column: &Fact, missing: &[&Fact]) -> String {
    let default =
        default_of(column, missing).map(|default| format!(" default {}", default.definition));
    // Rows that are there draw from it at once, so it begins as it is to go on.
    let identity =
        missing.iter().find(|own| own.kind == Kind::Identity && column.is_filled_by(own));
    let identity =
        identity.map(|own| own.fill(" as identity (sequence name {relation} {definition})"));
    let definition = match identity {
        Some(identity) => column.definition.replacen(" as identity", &identity, 1),
        // Since PostgreSQL 17 a partition counts by its parent's sequence. Who attaches it gives it that.
        None => ["always", "by default"].iter().fold(column.definition.clone(), |text, how| {
            text.replacen(&format!(" generated {how} as identity"), "", 1)
        }),
    };
    format!("{} {definition}{}", column.part, default.unwrap_or_default())
}

fn owned_by(column: &Fact, missing: &[&Fact]) -> Vec<String> {
    let own = missing.iter().filter(|own| own.kind == Kind::Sequence && column.is_filled_by(own));
    own.map(|own| format!("alter sequence {} owned by {}", own.relation, own.part)).collect()
}

/// The replica identity of a table whose index for it was dropped, as `sql/schema/catalog.sql` has it.
const INDEX_GONE: &str = "using an index that is gone";

fn replaceable(object: &Fact, found: &str, force: bool) -> bool {
    if object.kind == Kind::Index && found.strip_suffix(" (invalid)") == Some(&object.definition) {
        return true;
    }
    if object.kind == Kind::ReplicaIdentity && found == INDEX_GONE {
        return true;
    }
    match object.kind.rule().replaced {
        Acts::Always => true,
        Acts::Forced => force,
        Acts::Never => false,
    }
}

/// To drop a key locks what it refers to against readers too.
fn mode(drift: &[Difference], force: bool) -> LockMode {
    let replaced = |d: &Difference| match d.change {
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

/// Whether an owner has lost a right that it should have, and that other statements may need.
fn lacks_owner_rights(Difference { object, change }: &Difference) -> bool {
    let Change::Differs { found } = change else { return false };
    let found: HashSet<&str> = found.split(", ").collect();
    object.kind == Kind::OwnerRights
        && object.definition != "nothing"
        && object.definition.split(", ").any(|right| !found.contains(right))
}

/// Whether it is the default of a column that is of another type, or fills itself.
fn has_other_column(default: &Fact, drift: &[Difference]) -> bool {
    let is_other = |d: &Difference| match &d.change {
        Change::Differs { found } => {
            d.object.kind == Kind::Column
                && d.object.is_beside(default)
                && !lacks_not_null(&d.object, found)
        }
        Change::Missing | Change::Extra | Change::Removed { .. } => false,
    };
    default.kind == Kind::Default && drift.iter().any(is_other)
}

pub(crate) fn refers_to_agents(object: &Fact) -> bool {
    object.kind == Kind::Constraint && object.definition.contains(" REFERENCES public.agents(")
}
