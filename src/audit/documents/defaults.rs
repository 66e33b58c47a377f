//! A column's default as a document gives it.

use super::mistake::{Mistake, object};
use super::types::plain_default;
use crate::audit::relations::{Column, Table};
use crate::sql_text::{Kind, tokens};

/// Words that stand where there is no default.
const NONE: [&str; 8] = ["", "-", "–", "—", "none", "n/a", "null", "no"];
/// Words that say how a value comes to be, and are no value.
const HOW: [&str; 8] =
    ["auto", "automatic", "generated", "serial", "random", "empty", "now", "today"];
/// With these, another clause begins.
const CLAUSES: [&str; 10] = [
    "not",
    "primary",
    "unique",
    "references",
    "check",
    "constraint",
    "on",
    "foreign",
    "generated",
    "index",
];

/// What a document says of a column's default.
pub(super) struct Stated<'d> {
    pub(super) text: &'d str,
    /// Whether it is set as code, or follows the word `default`.
    pub(super) is_sql: bool,
}

impl Stated<'_> {
    pub(super) fn is_none(&self) -> bool {
        NONE.contains(&self.text.to_lowercase().as_str())
    }

    /// Whether it is a value or a call. Other words may describe it in any way.
    fn is_value(&self, actual: Option<&str>) -> bool {
        let text = self.text.to_lowercase();
        let is_name = |text: &str| text.chars().all(|c| c.is_alphanumeric() || "_.".contains(c));
        let is_call = text.ends_with(')') && text.split_once('(').is_some_and(|(f, _)| is_name(f));
        let is_literal = text.starts_with('\'') || text.parse::<f64>().is_ok();
        let known = ["true", "false", "current_timestamp", "current_date", "current_user"];
        // A label stands for a text that the column has, or would have.
        let is_label = is_name(&text)
            && !HOW.contains(&text.as_str())
            && actual.is_some_and(|it| it.starts_with('\'') && !it.starts_with("''"));
        self.is_sql || is_call || is_literal || known.contains(&text.as_str()) || is_label
    }

    /// Whether it is that default.
    fn is(&self, default: &str) -> bool {
        let (stated, actual) = (plain_default(self.text), plain_default(default));
        let bare = actual.trim_matches(['(', ')', '\'']);
        let stated_bare = stated.trim_matches(['\'', '"']);
        let number = |text: &str| text.parse::<f64>().ok();
        stated == actual
            || stated_bare == bare
            || actual.ends_with(&format!(".{stated}"))
            || number(stated_bare).is_some_and(|it| number(bare) == Some(it))
    }

    pub(super) fn mistake(&self, table: &Table, column: &Column) -> Option<Mistake> {
        if table.is_view || column.generated.is_some() {
            return None;
        }
        let (object, text) = (object(table, column), self.text);
        let (message, fix) = match &column.default {
            None if self.is_none() || column.identity.is_some() || !self.is_value(None) => {
                return None;
            }
            None => (
                format!("The document gives {object} the default {text}; it has none."),
                "Take the default out of the document, or add it.".to_owned(),
            ),
            // Who says serial, or that it is the key, says so.
            Some(default) if self.is_none() && default.starts_with("nextval(") => return None,
            Some(default) if self.is_none() => (
                format!("The document gives {object} no default; it has {default}."),
                format!("Write `{default}` into the document."),
            ),
            Some(default) if self.is_value(Some(default)) && !self.is(default) => (
                format!("The document gives {object} the default {text}; it is {default}."),
                format!("Write `{default}` into the document."),
            ),
            Some(_) => return None,
        };
        Some(Mistake { kind: "document_default", object, message, fix })
    }
}

/// What follows the word `default` in a list of constraints.
pub(super) fn in_constraints(text: &str) -> Option<&str> {
    let mut rest = tokens(text).skip_while(|token| !token.is("default"));
    let from = rest.next()?.end();
    let (mut depth, mut end) = (0_i32, from);
    for token in rest {
        let ends = token.is_mark(',')
            || token.is_mark(';')
            || CLAUSES.iter().any(|word| token.is(word))
            || depth == 0 && token.is_mark(')');
        if depth == 0 && ends && end > from {
            break;
        }
        depth += i32::from(token.is_mark('(')) - i32::from(token.is_mark(')'));
        if token.kind != Kind::Space {
            end = token.end();
        }
    }
    let found = text.get(from..end)?.trim_start_matches([':', '=', ' ']).trim();
    (!found.is_empty()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_among_constraints_ends_where_the_next_clause_begins() {
        let cases = [
            ("NOT NULL DEFAULT now()", Some("now()")),
            ("default 'a, b' not null", Some("'a, b'")),
            ("DEFAULT: 0, CHECK (x > 0)", Some("0")),
            ("default (1 + f(2, 3)) unique", Some("(1 + f(2, 3))")),
            ("default '{}'::jsonb", Some("'{}'::jsonb")),
            ("not null", None),
            ("default", None),
        ];
        for (text, expected) in cases {
            assert_eq!(in_constraints(text), expected, "{text}");
        }
    }

    #[test]
    fn a_value_is_compared_and_a_description_is_not() {
        let of = |text: &str, actual: Option<&str>| Stated { text, is_sql: false }.is_value(actual);
        for text in ["0", "-1.5", "'x'", "now()", "NOW()", "true", "auth.uid()"] {
            assert!(of(text, None), "{text}");
        }
        assert!(of("active", Some("'open'::text")));
        for text in ["auto", "the next id", "set by a trigger", "active"] {
            assert!(!of(text, None), "{text}");
        }
        assert!(!of("empty", Some("'x'::text")) && !of("active", Some("now()")));
    }

    #[test]
    fn one_default_is_written_in_several_ways() {
        let is = |text: &str, actual: &str| Stated { text, is_sql: true }.is(actual);
        for (text, actual) in [
            ("0.00", "0"),
            ("\"active\"", "'active'::text"),
            ("active", "'active'::public.status"),
            ("gen_random_uuid()", "extensions.gen_random_uuid()"),
            ("CURRENT_TIMESTAMP", "now()"),
        ] {
            assert!(is(text, actual), "{text}");
        }
        assert!(!is("1", "0") && !is("active", "'open'::text"));
    }
}
