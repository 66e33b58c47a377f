//! First rows: what the templates have put into a table by the time an agent is built.

use super::equivalents::is_foreign_key;
use super::fact::Fact;
use super::kind::Kind;
use super::repair_plan::refers_to;
use crate::agent::Prefix;
use crate::sql_text::mentions;

/// Those of one table, and how far its sequences have counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct FirstRows {
    /// The table: its bare name, and its qualified and quoted one.
    pub(crate) home: String,
    pub(crate) relation: String,
    /// Quoted.
    pub(crate) columns: Vec<String>,
    /// Each as a list of constants in parentheses.
    pub(crate) rows: Vec<String>,
    /// Statements that set its sequences.
    pub(crate) counts: Vec<String>,
}

/// Statements that fill tables, and that take effect together.
#[derive(Debug)]
pub(crate) struct Fill {
    /// The tables. They are new: rows may go from them that a statement has put there.
    pub(crate) homes: Vec<String>,
    /// Each without its semicolon.
    pub(crate) statements: Vec<String>,
}

impl FirstRows {
    fn none(table: &Fact) -> Self {
        let (home, relation) = (table.home.clone(), table.relation.clone());
        Self { home, relation, ..Self::default() }
    }

    /// The same with every text changed in the same way.
    pub(crate) fn map(&self, change: impl Fn(&str) -> String) -> Self {
        let all = |texts: &[String]| texts.iter().map(|text| change(text)).collect();
        Self {
            home: change(&self.home),
            relation: change(&self.relation),
            columns: all(&self.columns),
            rows: all(&self.rows),
            counts: all(&self.counts),
        }
    }

    fn insert(&self) -> Option<String> {
        let (table, columns) = (&self.relation, self.columns.join(", "));
        let rows = self.rows.join(",\n    ");
        (!rows.is_empty()).then(|| {
            format!("insert into {table} ({columns}) overriding system value values\n    {rows}")
        })
    }
}

/// Tables that are made again, and what they have then.
struct Filling<'a> {
    prefix: &'a Prefix,
    facts: &'a [&'a Fact],
}

impl Filling<'_> {
    fn of(&self, home: &str) -> impl Iterator<Item = &Fact> {
        self.facts.iter().copied().filter(move |fact| fact.home == home)
    }

    /// Whether one has a key to the other.
    fn waits(&self, one: &FirstRows, other: &FirstRows) -> bool {
        let mut keys = self.of(&one.home).filter(|fact| is_foreign_key(fact));
        one.home != other.home && keys.any(|key| mentions(&key.definition, &other.home))
    }

    /// What would do something to a row, or refuse it, that was there first.
    fn in_the_way(&self, home: &str) -> Vec<&Fact> {
        let is_child = self.of(home).any(|fact| fact.kind == Kind::Parent);
        let is_in_the_way = |fact: &&Fact| {
            fact.kind == Kind::Trigger
                || fact.kind == Kind::Constraint
                    && !fact.holds_for_rows()
                    && !is_child
                    && refers_to(fact, self.prefix).is_empty()
        };
        self.of(home).filter(is_in_the_way).collect()
    }

    fn is_forced(&self, home: &str) -> bool {
        self.of(home).any(|fact| fact.kind == Kind::RowSecurity && fact.definition == "forced")
    }

    /// Whether it has a parent's triggers.
    fn is_partition(&self, home: &str) -> bool {
        self.of(home).any(|fact| fact.kind == Kind::Parent && !fact.definition.is_empty())
    }

    /// Takes out of the way what would do something to the rows, or refuse them.
    fn open(&self, FirstRows { home, relation, .. }: &FirstRows) -> Vec<String> {
        let mut open: Vec<String> =
            self.in_the_way(home).iter().filter_map(|fact| fact.drop()).collect();
        let triggers = || format!("alter table {relation} disable trigger user");
        open.extend(self.is_partition(home).then(triggers));
        let force = || format!("alter table {relation} no force row level security");
        open.extend(self.is_forced(home).then(force));
        open
    }

    /// Takes that back.
    fn close(&self, FirstRows { home, relation, .. }: &FirstRows) -> Vec<String> {
        let force = || format!("alter table {relation} force row level security");
        let mut close: Vec<String> = self.is_forced(home).then(force).into_iter().collect();
        let triggers = || format!("alter table {relation} enable trigger user");
        close.extend(self.is_partition(home).then(triggers));
        let of_partition = self.of(home).filter(|fact| fact.kind == Kind::PartitionTrigger);
        close.extend(of_partition.map(Fact::create));
        let back = self.in_the_way(home);
        let comment = |fact: &&Fact| {
            fact.kind == Kind::Comment && back.iter().any(|other| fact.goes_with(other))
        };
        let comments = self.of(home).filter(comment);
        close.extend(back.iter().copied().chain(comments).map(Fact::create));
        close
    }

    /// Fills these together. `is_filled`: a statement has put rows there.
    fn fill(&self, tables: &[&FirstRows], is_filled: &impl Fn(&str) -> bool) -> Fill {
        let mut statements: Vec<String> =
            tables.iter().flat_map(|first| self.open(first)).collect();
        let filled = tables.iter().filter(|first| is_filled(&first.home));
        statements.extend(filled.map(|first| format!("delete from only {}", first.relation)));
        // What waits for the commit would fail there, with all else.
        statements.push("set constraints all deferred".to_owned());
        statements.extend(tables.iter().filter_map(|first| first.insert()));
        statements.push("set constraints all immediate".to_owned());
        statements.extend(tables.iter().flat_map(|first| self.close(first)));
        statements.extend(tables.iter().flat_map(|first| first.counts.clone()));
        Fill { homes: tables.iter().map(|first| first.home.clone()).collect(), statements }
    }
}

/// Fills tables that are made again: what others refer to by a foreign key comes first. `facts`: what they have then.
/// `is_filled`: a statement has put rows there.
pub(super) fn fill(
    prefix: &Prefix,
    rows: &[FirstRows],
    facts: &[&Fact],
    is_filled: impl Fn(&str) -> bool,
) -> Vec<Fill> {
    let filling = Filling { prefix, facts };
    let is_known = |home: &str| rows.iter().any(|first| first.home == home);
    let tables = facts.iter().filter(|fact| fact.kind == Kind::Table);
    let emptied = tables.filter(|table| is_filled(&table.home) && !is_known(&table.home));
    let emptied: Vec<FirstRows> = emptied.map(|table| FirstRows::none(table)).collect();
    let mut left: Vec<&FirstRows> = rows.iter().chain(&emptied).collect();
    let mut fills = Vec::new();
    while !left.is_empty() {
        let free = |one: &&FirstRows| !left.iter().any(|other| filling.waits(one, other));
        let (next, rest): (Vec<_>, Vec<_>) = left.iter().copied().partition(free);
        if next.is_empty() {
            // They refer to one another.
            fills.push(filling.fill(&rest, &is_filled));
            break;
        }
        fills.extend(next.iter().map(|one| filling.fill(&[*one], &is_filled)));
        left = rest;
    }
    fills
}
