//! A documented table's rows against its columns.

use super::defaults::{self, Stated};
use super::foreign_keys;
use super::markdown::{Phrase, Row};
use super::mistake::{Mistake, object};
use super::types;
use crate::audit::relations::{Column, Table};

/// Where a table of columns says what.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layout {
    r#type: usize,
    null: Option<(usize, Null)>,
    default: Option<usize>,
    /// Constraints by their words.
    constraints: Option<usize>,
    /// Remarks, in which only whole clauses are read.
    remarks: Vec<usize>,
}

/// What a cell of "yes" means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Null {
    Allowed,
    Refused,
}

impl Layout {
    /// `None` where the table does not list columns with their types.
    pub(super) fn of(head: &[Phrase]) -> Option<Self> {
        let head: Vec<String> = head.iter().map(|cell| cell.text().to_lowercase()).collect();
        let at = |names: &[&str]| head.iter().position(|cell| names.contains(&cell.as_str()));
        if at(&["column", "columns", "field", "name", "column name", "attribute"]) != Some(0) {
            return None;
        }
        let r#type = at(&["type", "data type", "datatype", "sql type"])?;
        let allowed = at(&["null", "nullable", "null?", "nullable?"]).map(|at| (at, Null::Allowed));
        let refused = || at(&["not null", "required"]).map(|at| (at, Null::Refused));
        let remarks =
            ["", "notes", "note", "remarks", "description", "comment", "comments", "meaning"];
        let is_remark =
            |(index, cell): (usize, &String)| remarks.contains(&cell.as_str()).then_some(index);
        Some(Self {
            r#type,
            null: allowed.or_else(refused),
            default: at(&["default", "default value"]),
            constraints: at(&["constraints", "constraint", "key", "keys", "attributes"]),
            remarks: head.iter().enumerate().filter_map(is_remark).collect(),
        })
    }

    /// Whether all rows give a type of the server's own: then it is a table of the database.
    pub(super) fn is_sql(&self, rows: &[Row]) -> bool {
        let known =
            |row: &Row| cell(row, self.r#type).is_some_and(|cell| types::read(&cell).is_some());
        !rows.is_empty() && rows.iter().all(known)
    }

    /// Everything in a row that is not so.
    pub(super) fn mistakes(&self, row: &Row, table: &Table, column: &Column) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        let stated = cell(row, self.r#type).unwrap_or_default();
        mistakes.extend(type_mistake(&stated, table, column));
        mistakes.extend(self.null_mistake(row, table, column));
        let words = self.constraints.and_then(|at| cell(row, at)).unwrap_or_default();
        let rest = types::read(&stated).map_or_else(String::new, |it| it.rest);
        let words = format!("{rest} {words}");
        mistakes.extend(self.default_mistake(row, &words, table, column));
        let remarks: Vec<String> = self.remarks.iter().filter_map(|at| cell(row, *at)).collect();
        let key = foreign_keys::of_column(&column.name, &words, false);
        let key = key.or_else(|| {
            let mut clauses = remarks.iter().flat_map(|it| it.split([';', ',']));
            clauses.find_map(|clause| foreign_keys::of_column(&column.name, clause, true))
        });
        mistakes.extend(key.iter().flat_map(|key| key.mistakes(table)));
        let words = words.to_lowercase();
        let remarks: Vec<String> = remarks.iter().map(|it| it.to_lowercase()).collect();
        let clauses = || remarks.iter().flat_map(|it| it.split([';', ',', '.'])).map(str::trim);
        for property in PROPERTIES {
            let is_said = property.words.iter().any(|said| has_words(&words, said));
            let is_clause = clauses().any(|clause| property.words.contains(&clause));
            let is_told = property.shown == FOREIGN_KEY && key.is_some();
            if (is_said || is_clause) && !is_told && !(property.holds)(table, column) {
                let object = object(table, column);
                let message =
                    format!("The document says that {object} is {}; it is not.", property.shown);
                let fix =
                    format!("Take it out of the document, or make the column {}.", property.shown);
                mistakes.push(Mistake {
                    kind: "document_constraint",
                    object: format!("{object} {}", property.shown),
                    message,
                    fix,
                });
            }
        }
        mistakes
    }

    fn null_mistake(&self, row: &Row, table: &Table, column: &Column) -> Option<Mistake> {
        let (at, meaning) = self.null?;
        let said = cell(row, at)?.to_lowercase();
        let yes = match said.as_str() {
            "yes" | "y" | "true" | "✓" | "✅" | "x" => true,
            "no" | "n" | "false" | "✗" | "❌" => false,
            "null" if meaning == Null::Allowed => true,
            "not null" if meaning == Null::Allowed => false,
            _ => return None,
        };
        let refused = yes == (meaning == Null::Refused);
        if refused == column.not_null || table.is_view {
            return None;
        }
        let object = object(table, column);
        let (says, is) = if refused { ("refuses", "allows") } else { ("allows", "refuses") };
        Some(Mistake {
            kind: "document_null",
            message: format!("The document says that {object} {says} null; it {is} null."),
            fix: format!("Say in the document that it {is} null, or change the column."),
            object,
        })
    }

    /// By the column for defaults, or else by what follows the word in the constraints.
    fn default_mistake(
        &self,
        row: &Row,
        clauses: &str,
        table: &Table,
        column: &Column,
    ) -> Option<Mistake> {
        let cell = self.default.and_then(|at| row.cells.get(at));
        let text = cell.map(Phrase::text);
        let own = text.as_deref().map(|text| {
            let is_sql = cell.is_some_and(|cell| cell.code().any(|code| code == text));
            Stated { text, is_sql }
        });
        let among = defaults::in_constraints(clauses).map(|text| Stated { text, is_sql: true });
        let stated = own.filter(|own| among.is_none() || !own.is_none()).or(among)?;
        stated.mistake(table, column)
    }
}

fn cell(row: &Row, at: usize) -> Option<String> {
    row.cells.get(at).map(Phrase::text)
}

/// A property that documents state in words.
struct Property {
    words: &'static [&'static str],
    shown: &'static str,
    holds: fn(&Table, &Column) -> bool,
}

const FOREIGN_KEY: &str = "a foreign key";

const PROPERTIES: [Property; 6] = [
    Property { words: &["unique"], shown: "unique", holds: is_unique },
    Property { words: &["primary key", "pk"], shown: "the primary key", holds: is_primary },
    Property { words: &["not null"], shown: "not null", holds: |_, column| column.not_null },
    Property { words: &["indexed", "index"], shown: "indexed", holds: is_indexed },
    Property {
        words: &["generated", "computed"],
        shown: "generated",
        holds: |_, column| column.generated.is_some() || column.identity.is_some(),
    },
    Property {
        words: &["fk", "foreign key"],
        shown: FOREIGN_KEY,
        holds: |table, column| {
            table.foreign_keys.iter().any(|key| key.columns.contains(&column.name))
        },
    },
];

fn is_unique(table: &Table, column: &Column) -> bool {
    table.indexes.iter().any(|index| index.unique && index.columns == [column.name.as_str()])
}

fn is_primary(table: &Table, column: &Column) -> bool {
    table.indexes.iter().any(|index| index.primary && index.columns.contains(&column.name))
}

fn is_indexed(table: &Table, column: &Column) -> bool {
    table.indexes.iter().any(|index| index.columns.first() == Some(&column.name))
}

/// Whether the words stand in a text, and are no part of others.
fn has_words(text: &str, words: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(words).any(|(at, _)| {
        let before = text.get(..at).and_then(|it| it.chars().next_back());
        let after = text.get(at + words.len()..).and_then(|it| it.chars().next());
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

/// A type that is not the server's own is compared by its name alone.
fn type_mistake(stated: &str, table: &Table, column: &Column) -> Option<Mistake> {
    let actual = column.r#type.as_str();
    let said = match types::read(stated) {
        Some(said) => said.name,
        None if is_one_name(stated) && types::read(actual).is_none() => stated.to_owned(),
        None => return None,
    };
    let own = |name: &str| name.rsplit('.').next().unwrap_or(name).trim_matches('"').to_lowercase();
    let is_user_type = types::read(actual).is_none();
    if types::agree(&said, actual) || is_user_type && (own(&said) == own(actual) || said == "enum")
    {
        return None;
    }
    let object = object(table, column);
    Some(Mistake {
        kind: "document_type",
        message: format!("The document gives {object} the type {stated}; it is {actual}."),
        fix: format!("Write `{actual}` into the document, or change the column."),
        object,
    })
}

fn is_one_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '"'))
}
