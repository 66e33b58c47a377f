//! A column that is there and numbers its rows otherwise than the files say: by itself, or by a sequence of its own. Either
//! way the numbers go on where they are.

use std::collections::HashSet;

use crate::schema::{Change, Difference, Fact, Key, Kind};
use crate::sql_text::Reader;

const NOT_NULL: &str = " not null";
const IDENTITY: &str = " as identity";
/// The sequence that is replaced, until it is dropped.
const FORMER: &str = "audit_former_sequence";

/// What differences there are about one column's numbers.
#[derive(Debug, Default)]
pub(super) struct Numbers<'a> {
    own_sequence: Option<&'a Fact>,
    former_sequence: Option<&'a Fact>,
    default: Option<&'a Fact>,
    former_default: bool,
}

/// `(type, how)` of a definition such as `bigint generated always as identity not null`.
fn parts(definition: &str) -> (&str, Option<&str>) {
    let bare = definition.trim_end_matches(NOT_NULL);
    let identity = bare.strip_suffix(IDENTITY).and_then(|it| it.split_once(" generated "));
    identity.map_or((bare, None), |(kind, how)| (kind, Some(how)))
}

pub(super) fn type_of(definition: &str) -> &str {
    parts(definition).0
}

/// Whether only who numbers its rows is different, beside null.
pub(super) fn is_changed(definition: &str, found: &str) -> bool {
    let (wanted, is) = (parts(definition), parts(found));
    wanted.0 == is.0 && wanted.1 != is.1
}

/// The differences that end with that of their column.
pub(super) fn absorbed(differences: &[Difference]) -> HashSet<Key> {
    let mut keys = HashSet::new();
    for difference in differences {
        let column = &difference.object;
        if let Change::Differs { found } = &difference.change
            && column.kind == Kind::Column
            && is_changed(&column.definition, found)
        {
            let numbers = Numbers::of(column, differences);
            let is_serial = numbers.own_sequence.is_some();
            let has_identity = parts(&column.definition).1.is_some();
            keys.extend(numbers.own_sequence.map(Fact::key));
            keys.extend(numbers.former_sequence.filter(|_| has_identity).map(Fact::key));
            if is_serial || numbers.former_default {
                keys.insert((Kind::Default, column.relation.clone(), column.part.clone()));
            }
        }
    }
    keys
}

impl<'a> Numbers<'a> {
    pub(super) fn of(column: &Fact, differences: &'a [Difference]) -> Self {
        let mut numbers = Self::default();
        for Difference { object, change } in differences {
            let is_own = object.part == format!("{}.{}", column.relation, column.part);
            let is_default = object.kind == Kind::Default
                && (&object.relation, &object.part) == (&column.relation, &column.part);
            match change {
                Change::Missing if is_own && object.kind == Kind::Sequence => {
                    numbers.own_sequence = Some(object);
                }
                Change::Extra
                    if is_own && matches!(object.kind, Kind::Sequence | Kind::Identity) =>
                {
                    numbers.former_sequence = Some(object);
                }
                Change::Missing if is_default => numbers.default = Some(object),
                Change::Extra if is_default => numbers.former_default = true,
                Change::Missing
                | Change::Extra
                | Change::Differs { .. }
                | Change::Removed { .. } => {}
            }
        }
        numbers
    }

    /// What makes the column number its rows as the files say; not null where it has to be.
    pub(super) fn statements(&self, column: &Fact, found: &str) -> Vec<String> {
        let Fact { relation, part, definition, .. } = column;
        let alter = format!("alter table {relation} alter column {part}");
        match (parts(definition).1, parts(found).1) {
            (Some(how), Some(_)) => vec![format!("{alter} set generated {how}")],
            (Some(how), None) => self.to_identity(column, &alter, how),
            (None, _) => self.without_identity(column, &alter),
        }
    }

    fn to_identity(&self, column: &Fact, alter: &str, how: &str) -> Vec<String> {
        let Fact { relation, part, .. } = column;
        let own = Reader::new(part).name().unwrap_or_else(|| part.clone());
        let literal = |text: &str| text.replace('\'', "''");
        let (table, name) = (literal(relation), literal(&own));
        let serial = format!("pg_get_serial_sequence('{table}', '{name}')");
        let add = format!("{alter} add generated {how}{IDENTITY}");
        let mut all: Vec<String> =
            self.former_default.then(|| format!("{alter} drop default")).into_iter().collect();
        match self.former_sequence {
            Some(former) => {
                let set = format!("select setval({serial}, last_value, is_called) from");
                // Else it still counts as the column's.
                all.push(format!("alter sequence {} owned by none", former.relation));
                all.extend(aside(&former.relation, |aside| {
                    vec![add, format!("{set} {aside}"), format!("drop sequence {aside}")]
                }));
            }
            None => {
                all.extend([
                    add,
                    format!("select setval({serial}, (select max({part}) from {relation}))"),
                ]);
            }
        }
        all
    }

    fn without_identity(&self, column: &Fact, alter: &str) -> Vec<String> {
        let Fact { relation, part, .. } = column;
        let drop = format!("{alter} drop identity");
        let (Some(own), Some(default)) = (self.own_sequence, self.default) else {
            return vec![drop];
        };
        let sequence = &own.relation;
        let make =
            vec![own.create(), format!("alter sequence {sequence} owned by {relation}.{part}")];
        let name = sequence.replace('\'', "''");
        let set = format!("select setval('{name}', last_value, is_called) from");
        let mut all = match self.former_sequence {
            Some(former) => aside(&former.relation, |aside| {
                [make, vec![format!("{set} {aside}"), drop]].concat()
            }),
            None => [vec![drop], make].concat(),
        };
        all.push(default.create());
        all
    }
}

/// Gives a sequence another name, which new ones may then have.
fn aside(sequence: &str, then: impl FnOnce(&str) -> Vec<String>) -> Vec<String> {
    let schema = Reader::new(sequence).next().map_or("", |schema| schema.text);
    let aside = format!("{schema}.{FORMER}");
    let mut all = vec![format!("alter sequence {sequence} rename to {FORMER}")];
    all.extend(then(&aside));
    all
}
