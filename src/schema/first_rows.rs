//! First rows: what the templates have put into a table by the time an agent is built.

use super::equivalents::is_foreign_key;
use super::fact::Fact;
use super::heirs::is_bound;
use super::kind::Kind;
use super::repair_plan::refers_to;
use super::sql;
use crate::agent::Prefix;
use crate::sql_text::mentions;

/// Those of one table, and how far its sequences have counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FirstRows {
    /// The table: its bare name, and its qualified and quoted one.
    pub(crate) home: String,
    pub(crate) relation: String,
    /// Quoted.
    pub(crate) columns: Vec<String>,
    /// Each value as a constant.
    pub(crate) rows: Vec<Vec<String>>,
    /// Statements that set its sequences.
    pub(crate) counts: Vec<String>,
}

/// Statements that fill tables, and that take effect together.
#[derive(Debug)]
pub(crate) struct Fill {
    /// The tables. They are new.
    pub(crate) homes: Vec<String>,
    /// Each without its semicolon.
    pub(crate) statements: Vec<String>,
}

impl FirstRows {
    /// The same with every text changed in the same way.
    pub(crate) fn map(&self, change: impl Fn(&str) -> String) -> Self {
        let all = |texts: &[String]| texts.iter().map(|text| change(text)).collect();
        Self {
            home: change(&self.home),
            relation: change(&self.relation),
            columns: all(&self.columns),
            rows: self.rows.iter().map(|row| all(row)).collect(),
            counts: all(&self.counts),
        }
    }

    /// Whether something of it is the same each time for one prefix (`again`), and another for another prefix (`other`). In whatever
    /// order the rows are.
    pub(crate) fn differs_by_prefix(&self, again: Option<&Self>, other: Option<&Self>) -> bool {
        let (Some(again), Some(other)) = (again, other) else { return again.is_some() };
        let is_computed = |values: &dyn Fn(&Self) -> Vec<&str>| {
            let this = values(self);
            this == values(again) && this != values(other)
        };
        (0..self.columns.len()).any(|column| {
            is_computed(&|first| {
                let mut values: Vec<&str> = first
                    .rows
                    .iter()
                    .filter_map(|row| row.get(column))
                    .map(String::as_str)
                    .collect();
                values.sort_unstable();
                values
            })
        }) || is_computed(&|first| first.counts.iter().map(String::as_str).collect())
    }

    fn insert(&self) -> Option<String> {
        let (table, columns) = (&self.relation, self.columns.join(", "));
        let rows: Vec<_> = self.rows.iter().map(|row| format!("({})", row.join(", "))).collect();
        let rows = rows.join(",\n    ");
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

impl<'a> Filling<'a> {
    fn of(&self, home: &str) -> impl Iterator<Item = &'a Fact> {
        self.facts.iter().copied().filter(move |fact| fact.home == home)
    }

    /// A table, and what it is a partition of, as far as that is made again, too.
    fn lineage(&self, home: &'a str) -> Vec<&'a str> {
        let mut line = vec![home];
        let mut last = home;
        while let Some(parent) = self.partitioned(last) {
            line.push(parent);
            last = parent;
        }
        line
    }

    fn partitioned(&self, home: &str) -> Option<&'a str> {
        let bound = self.of(home).find(|fact| is_bound(fact))?;
        let is_it = |fact: &&&Fact| fact.kind == Kind::Table && fact.relation == bound.part;
        self.facts.iter().find(is_it).map(|table| table.home.as_str())
    }

    /// The foreign keys that hold for its rows.
    fn keys(&self, one: &'a FirstRows) -> impl Iterator<Item = &'a Fact> {
        let line = self.lineage(&one.home);
        let own = line.into_iter().flat_map(|home| self.of(home)).collect::<Vec<_>>();
        own.into_iter().filter(|fact| is_foreign_key(fact))
    }

    fn refers(&self, key: &Fact, other: &'a FirstRows) -> bool {
        self.lineage(&other.home).iter().any(|home| mentions(&key.definition, home))
    }

    /// Whether one has a key to the other.
    fn waits(&self, one: &'a FirstRows, other: &'a FirstRows) -> bool {
        one.home != other.home && self.keys(one).any(|key| self.refers(key, other))
    }

    /// With what it waits for, and what that waits for.
    fn with_needed(&self, one: &'a FirstRows, all: &[&'a FirstRows]) -> Vec<&'a FirstRows> {
        let mut needed = vec![one];
        let mut done = 0;
        while let Some(next) = needed.get(done).copied() {
            done += 1;
            let more = all.iter().filter(|other| self.waits(next, other));
            let more: Vec<&FirstRows> = more.filter(|it| !needed.contains(it)).copied().collect();
            needed.extend(more);
        }
        needed
    }

    /// What would do something to a row, or refuse it, that was there first.
    fn in_the_way(&self, home: &str) -> Vec<&'a Fact> {
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

    /// Keys of tables that refer to one another. None of these has all its rows before the other.
    fn circular(&self, tables: &[&'a FirstRows]) -> Vec<&'a Fact> {
        let mut keys: Vec<&Fact> = Vec::new();
        for one in tables {
            let others = || tables.iter().filter(|other| other.home != one.home);
            let own = self.keys(one).filter(|key| key.holds_for_rows());
            keys.extend(own.filter(|key| others().any(|other| self.refers(key, other))));
        }
        keys.sort_by_key(|key| (&key.relation, &key.part));
        keys.dedup();
        keys
    }

    fn is_forced(&self, home: &str) -> bool {
        self.of(home).any(|fact| fact.kind == Kind::RowSecurity && fact.definition == "forced")
    }

    /// Whether it has a parent's triggers.
    fn is_partition(&self, home: &str) -> bool {
        self.of(home).any(is_bound)
    }

    /// What its owner may do with it, where that is not all.
    fn rights(&self, home: &str) -> impl Iterator<Item = &'a Fact> {
        self.of(home).filter(|fact| fact.kind == Kind::OwnerRights)
    }

    /// Takes out of the way what would do something to the rows, or refuse them.
    fn open(&self, FirstRows { home, relation, .. }: &FirstRows) -> Vec<String> {
        let mut open: Vec<String> = self.rights(home).filter_map(Fact::drop).collect();
        open.extend(self.in_the_way(home).iter().filter_map(|fact| fact.drop()));
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
        if self.is_partition(home) {
            close.push(format!("alter table {relation} enable trigger user"));
            close.push(sql::triggers_of_partition(relation, None));
        }
        let of_partition = self.of(home).filter(|fact| fact.kind == Kind::PartitionTrigger);
        close.extend(of_partition.map(Fact::create));
        close.extend(self.back(&self.in_the_way(home)));
        close
    }

    /// Makes these again, with their comments.
    fn back(&self, away: &[&'a Fact]) -> impl Iterator<Item = String> {
        let is_comment = |fact: &&&Fact| {
            fact.kind == Kind::Comment && away.iter().any(|other| fact.goes_with(other))
        };
        let comments = self.facts.iter().filter(is_comment);
        let all: Vec<String> = away.iter().chain(comments).map(|fact| fact.create()).collect();
        all.into_iter()
    }

    /// Fills these together.
    fn fill(&self, tables: &[&'a FirstRows]) -> Fill {
        let circular = self.circular(tables);
        let mut statements: Vec<String> =
            tables.iter().flat_map(|first| self.open(first)).collect();
        statements.extend(circular.iter().filter_map(|key| key.drop()));
        // What waits for the commit would fail there, with all else.
        statements.push("set constraints all deferred".to_owned());
        statements.extend(tables.iter().filter_map(|first| first.insert()));
        statements.push("set constraints all immediate".to_owned());
        // Forced row security would hide the rows from the check.
        statements.extend(self.back(&circular));
        statements.extend(tables.iter().flat_map(|first| self.close(first)));
        statements.extend(tables.iter().flat_map(|first| first.counts.clone()));
        statements.extend(tables.iter().flat_map(|it| self.rights(&it.home)).map(Fact::create));
        Fill { homes: tables.iter().map(|first| first.home.clone()).collect(), statements }
    }
}

/// Fills tables that are made again: what others refer to by a foreign key comes first. `facts`: what they have then.
pub(super) fn fill(prefix: &Prefix, rows: &[FirstRows], facts: &[&Fact]) -> Vec<Fill> {
    let filling = Filling { prefix, facts };
    let mut left: Vec<&FirstRows> = rows.iter().collect();
    let mut fills = Vec::new();
    while !left.is_empty() {
        let free = |one: &&FirstRows| !left.iter().any(|other| filling.waits(one, other));
        let free: Vec<&FirstRows> = left.iter().copied().filter(free).collect();
        fills.extend(free.iter().map(|one| filling.fill(&[*one])));
        let mut next = free;
        if next.is_empty() {
            // Some refer to one another, and the others to these.
            let groups = left.iter().map(|one| filling.with_needed(one, &left));
            next = groups.min_by_key(Vec::len).unwrap_or_default();
            fills.push(filling.fill(&next));
        }
        left.retain(|one| !next.contains(one));
    }
    fills
}
