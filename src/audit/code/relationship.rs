//! Which table an embedded one is, by PostgREST's rules.

use super::grammar::Embed;
use super::lookup::{Found, Lookup};
use crate::audit::relations::{ForeignKey, Name, Table};

/// Why a table cannot be embedded.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing leads there. The name that was looked for.
    NoWay(String),
    /// Ways lead there, and none fits the hint. The ways.
    WrongHint(Vec<String>),
    /// The ways that fit.
    Ambiguous(Vec<String>),
}

/// A way from one table to another.
struct Way<'r> {
    name: String,
    /// What a hint may call it.
    hints: Vec<&'r str>,
}

impl<'r> Lookup<'r> {
    /// The table that is embedded. `None` where the catalog does not tell: views, and functions that return no row type.
    pub(super) fn embedded(
        &self,
        from: &Found<'r>,
        embed: &Embed,
    ) -> Result<Option<Found<'r>>, Fault> {
        let Some(table) = from.table() else { return Ok(None) };
        let Some(relation) = from.fill(&embed.relation) else { return Ok(None) };
        if let Some(function) = self.relations.computed(&table.name, &relation) {
            let target = function.returns_row_of.as_ref().and_then(|name| self.named(name));
            return Ok(target.map(|target| from.to(target)));
        }
        let named = self.named(&Name::new(&table.name.schema, &relation));
        if table.is_view || table.is_partition {
            return Ok(named.map(|target| from.to(target)));
        }
        let Some(target) = named else {
            return match self.by_key(table, &relation) {
                Some(target) => Ok(Some(from.to(target))),
                None => Err(Fault::NoWay(relation)),
            };
        };
        let ways = self.ways(table, target);
        if target.is_view || target.is_partition || target.name == table.name && !ways.is_empty() {
            return Ok(Some(from.to(target)));
        }
        if ways.is_empty() {
            return Err(Fault::NoWay(relation));
        }
        let hint = embed.hint.as_ref().map(|hint| from.fill(hint));
        let fits = |way: &&Way<'_>| match &hint {
            Some(Some(hint)) => way.hints.contains(&hint.as_str()),
            // A gap in a hint may be anything.
            Some(None) | None => true,
        };
        let fitting: Vec<&Way<'_>> = ways.iter().filter(fits).collect();
        let list = |ways: &[&Way<'_>]| ways.iter().map(|way| way.name.clone()).collect();
        match fitting.as_slice() {
            [] => Err(Fault::WrongHint(list(&ways.iter().collect::<Vec<_>>()))),
            [_] => Ok(Some(from.to(target))),
            _ if hint == Some(None) => Ok(Some(from.to(target))),
            several => Err(Fault::Ambiguous(list(several))),
        }
    }

    /// A foreign key may be named instead of the table, and so may its column.
    fn by_key(&self, table: &Table, key: &str) -> Option<&'r Table> {
        let is_column =
            |it: &&ForeignKey| matches!(it.columns.as_slice(), [column] if column == key);
        let own = table.foreign_keys.iter().find(|it| it.name == key);
        let own = own.or_else(|| table.foreign_keys.iter().find(is_column));
        let others = || {
            let refers = |it: &ForeignKey| it.name == key && it.target == table.name;
            self.tables().find(|other| other.foreign_keys.iter().any(refers))
        };
        own.and_then(|it| self.named(&it.target)).or_else(others)
    }

    fn ways<'t>(&'t self, table: &'t Table, target: &'t Table) -> Vec<Way<'t>> {
        let direct = keys(table, target).chain(keys(target, table)).map(|key| Way {
            name: key.name.clone(),
            hints: key.columns.iter().map(String::as_str).chain([key.name.as_str()]).collect(),
        });
        let through = self.tables().filter(|it| it.name != table.name && it.name != target.name);
        direct.chain(through.flat_map(|junction| through_it(table, junction, target))).collect()
    }

    /// The names of the tables that can be embedded.
    pub(super) fn related(&self, table: &Table) -> Vec<String> {
        let near = self.tables().filter(|target| !self.ways(table, target).is_empty());
        near.map(|target| target.name.name.clone()).collect()
    }
}

fn keys<'t>(from: &'t Table, to: &'t Table) -> impl Iterator<Item = &'t ForeignKey> {
    from.foreign_keys.iter().filter(|key| key.target == to.name)
}

/// A table of pairs, whose primary key contains both foreign keys.
fn through_it<'t>(table: &'t Table, junction: &'t Table, target: &'t Table) -> Vec<Way<'t>> {
    let Some(primary) = junction.indexes.iter().find(|index| index.primary) else {
        return Vec::new();
    };
    let in_key =
        |key: &&ForeignKey| key.columns.iter().all(|column| primary.columns.contains(column));
    let near = || keys(junction, table).filter(in_key);
    let far = || keys(junction, target).filter(in_key);
    let pairs = near().flat_map(|one| far().map(move |other| (one, other)));
    let way = |(one, other): (&'t ForeignKey, &'t ForeignKey)| Way {
        name: junction.name.name.clone(),
        hints: vec![&junction.name.name, &one.name, &other.name],
    };
    pairs.map(way).collect()
}
