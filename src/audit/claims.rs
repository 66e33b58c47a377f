//! What a file that did not run would have made, by its own words.

use std::collections::BTreeSet;

use super::definition::public;
use super::finding::Finding;
use crate::sql_text::{Kind, Reader, name, tokens};

/// What may stand between `create` and what it makes.
const BEFORE: [&str; 11] = [
    "or",
    "replace",
    "unlogged",
    "materialized",
    "recursive",
    "temp",
    "temporary",
    "global",
    "local",
    "foreign",
    "external",
];
/// What an element of a table begins with that is no column.
const NO_COLUMN: [&str; 7] =
    ["constraint", "primary", "unique", "foreign", "check", "exclude", "like"];
/// How deep bodies of functions may lie in each other.
const DEEPEST: usize = 4;

/// What is done to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Touch {
    Index,
    Policy,
    RowSecurity,
    Constraint,
    /// Of a column that is there.
    Column,
    Publication,
}

/// What may end a finding of a kind.
fn touches(kind: &str) -> &'static [Touch] {
    match kind {
        "row_security_without_policy" => &[Touch::Policy],
        "table_without_row_security" => &[Touch::RowSecurity],
        "unindexed_foreign_key" => &[Touch::Index, Touch::Constraint],
        "no_unique_key" | "document_constraint" => {
            &[Touch::Index, Touch::Constraint, Touch::Column]
        }
        "document_foreign_key" => &[Touch::Constraint],
        "unpublished_table" => &[Touch::Publication],
        "generated_column" | "document_null" | "document_default" | "document_type" => {
            &[Touch::Column]
        }
        _ => &[],
    }
}

/// Names that a file makes. Qualified, without quotes.
#[derive(Debug, Default)]
pub(super) struct Claims {
    tables: BTreeSet<String>,
    views: BTreeSet<String>,
    functions: BTreeSet<String>,
    types: BTreeSet<String>,
    /// Each column after its table.
    columns: BTreeSet<(String, String)>,
    /// Tables, and those that they refer to.
    keys: BTreeSet<(String, String)>,
    /// How tables are changed.
    touched: BTreeSet<(Touch, String)>,
    /// All strings: a bucket is a row.
    strings: BTreeSet<String>,
}

impl Claims {
    /// Also of what blocks and functions make when they run.
    pub(super) fn of(sql: &str) -> Self {
        let mut claims = Self::default();
        claims.read(sql, 0);
        claims
    }

    /// Whether a finding may not be there once the file runs.
    pub(super) fn may_end(&self, finding: &Finding) -> bool {
        let Finding { kind, object, message, .. } = finding;
        let table = || match object.split_once(" on ") {
            Some((_, table)) => Reader::new(table).qualified(),
            None => Reader::new(object).qualified(),
        };
        match *kind {
            "broken_function" => self.are_missed(message),
            "extra_column" | "different_column" => self.may_make("unknown_column", object),
            _ if !touches(kind).is_empty() => table().is_some_and(|path| {
                let table: Vec<String> = path.into_iter().take(2).collect();
                let table = table.join(".");
                touches(kind).iter().any(|touch| self.touched.contains(&(*touch, table.clone())))
            }),
            _ => self.may_make(kind, object),
        }
    }

    /// Whether it makes what a server misses by these words.
    pub(super) fn are_missed(&self, message: &str) -> bool {
        let named = |what: &str| {
            let (_, rest) = message.split_once(&format!("{what} \""))?;
            Some(public(Reader::new(rest.split_once('"')?.0).qualified()?))
        };
        let relation = named("relation").or_else(|| named("table"));
        relation.is_some_and(|name| self.tables.contains(&name) || self.views.contains(&name))
            || named("type").is_some_and(|name| self.types.contains(&name))
            || message.contains("function ")
                && message.ends_with("does not exist")
                && self.functions.iter().any(|name| {
                    let own = name.rsplit('.').next().unwrap_or(name);
                    message.contains(&format!("function {own}("))
                        || message.contains(&format!("function {name}("))
                })
            || message.starts_with("column \"")
                && self.columns.iter().any(|(_, column)| message.contains(&format!("\"{column}\"")))
    }

    /// Whether what a finding misses may come by the file. `object` is the finding's.
    fn may_make(&self, kind: &str, object: &str) -> bool {
        if let Some(bucket) = object.strip_prefix("bucket ") {
            return kind == "unknown_bucket" && self.strings.contains(bucket);
        }
        let mut rest = Reader::new(object);
        let Some(mut path) = rest.qualified() else { return false };
        let has = |names: &BTreeSet<String>, name: &String| names.contains(name);
        match kind.trim_start_matches("document_") {
            "unknown_table" => {
                let name = path.join(".");
                has(&self.tables, &name) || has(&self.views, &name)
            }
            "unknown_function" | "unknown_argument" => has(&self.functions, &path.join(".")),
            "unknown_column" => {
                let column = path.pop().unwrap_or_default();
                let table = path.join(".");
                has(&self.views, &table) || self.columns.contains(&(table, column))
            }
            "unknown_enum_value" => path.pop().is_some_and(|value| self.strings.contains(&value)),
            "unknown_relationship" => {
                let list = rest.list().unwrap_or_default();
                let (own, other) = (path.join("."), public(list));
                has(&self.tables, &other)
                    || self.keys.contains(&(own.clone(), other.clone()))
                    || self.keys.contains(&(other, own))
            }
            _ => false,
        }
    }

    fn read(&mut self, sql: &str, depth: usize) {
        for token in tokens(sql) {
            let rest = sql.get(token.end()..).unwrap_or_default();
            if token.is("create") {
                self.created(rest);
            } else if token.is("alter") {
                self.altered(rest);
            } else if token.kind == Kind::Text && token.text.starts_with('$') {
                let tag =
                    token.text.get(1..).and_then(|rest| rest.find('$')).unwrap_or_default() + 2;
                let body = token.text.get(tag..token.text.len().saturating_sub(tag));
                if let Some(body) = body.filter(|_| depth < DEEPEST) {
                    self.read(body, depth + 1);
                }
            } else if token.kind == Kind::Text {
                self.strings.insert(token.text.trim_matches('\'').to_owned());
            }
        }
    }

    /// Notes what a statement makes. `sql` follows `create`.
    fn created(&mut self, sql: &str) {
        let mut rest = Reader::new(sql);
        while rest.peek().is_some_and(|next| BEFORE.iter().any(|word| next.is(word))) {
            rest.next();
        }
        let Some(mut what) = rest.next() else { return };
        if what.is("unique") || what.is("constraint") {
            what = rest.next().unwrap_or(what);
        }
        if what.is("index") || what.is("policy") || what.is("trigger") {
            while rest.next().is_some_and(|next| !next.is("on") && !next.is_mark(';')) {}
            rest.words("only");
            let touch = if what.is("index") { Touch::Index } else { Touch::Policy };
            let table = rest.qualified().filter(|_| !what.is("trigger"));
            self.touched.extend(table.map(|table| (touch, public(table))));
            return;
        }
        rest.words("if not exists");
        let Some(made) = rest.qualified().map(public) else { return };
        if what.is("table") {
            for column in columns(&mut rest.clone()) {
                self.columns.insert((made.clone(), column));
            }
            self.refers(&made, rest);
            self.tables.insert(made);
        } else if what.is("view") {
            self.views.insert(made);
        } else if what.is("function") || what.is("procedure") {
            self.functions.insert(made);
        } else if what.is("type") || what.is("domain") {
            self.types.insert(made);
        }
    }

    /// Notes what a statement changes. `sql` follows `alter`.
    fn altered(&mut self, sql: &str) {
        let mut rest = Reader::new(sql);
        if rest.words("publication") {
            rest.next();
            let tables = if rest.words("add table") { rest.qualified() } else { None };
            self.touched.extend(tables.map(|table| (Touch::Publication, public(table))));
            return;
        }
        if !rest.words("table") {
            return;
        }
        rest.words("if exists");
        rest.words("only");
        let Some(table) = rest.qualified().map(public) else { return };
        self.refers(&table, rest.clone());
        while let Some(next) = rest.next().filter(|next| !next.is_mark(';')) {
            let touch = if next.is("alter") {
                Some(Touch::Column)
            } else if next.is("enable") && rest.words("row level security") {
                Some(Touch::RowSecurity)
            } else {
                None
            };
            self.touched.extend(touch.map(|touch| (touch, table.clone())));
            if next.is("add") {
                rest.words("column");
                rest.words("if not exists");
                if rest.peek().is_some_and(|it| NO_COLUMN.iter().any(|word| it.is(word))) {
                    self.touched.insert((Touch::Constraint, table.clone()));
                }
                let next = rest.peek().filter(|it| NO_COLUMN.iter().all(|word| !it.is(word)));
                let column = next.and_then(|it| name(&it));
                self.columns.extend(column.map(|column| (table.clone(), column)));
            } else if next.is("rename") && rest.words("to") {
                let schema = table.split_once('.').map_or("public", |(schema, _)| schema);
                self.tables.extend(rest.name().map(|name| format!("{schema}.{name}")));
            } else if next.is("rename") {
                rest.words("column");
                let renamed = rest.name().filter(|_| rest.words("to")).and_then(|_| rest.name());
                self.columns.extend(renamed.map(|column| (table.clone(), column)));
            }
        }
    }

    /// Foreign keys in the rest of a statement.
    fn refers(&mut self, table: &str, mut rest: Reader<'_>) {
        while let Some(next) = rest.next().filter(|next| !next.is_mark(';')) {
            if next.is("references")
                && let Some(target) = rest.qualified()
            {
                self.keys.insert((table.to_owned(), public(target)));
            }
        }
    }
}

/// The names of the columns that `create table` lists between its brackets.
fn columns(rest: &mut Reader<'_>) -> Vec<String> {
    let mut columns = Vec::new();
    let (mut depth, mut begins) = (0_usize, false);
    for token in rest {
        if token.is_mark('(') {
            depth += 1;
            begins = depth == 1;
        } else if token.is_mark(')') {
            depth = depth.saturating_sub(1);
        } else if depth == 1 && token.is_mark(',') {
            begins = true;
        } else if std::mem::take(&mut begins) && NO_COLUMN.iter().all(|word| !token.is(word)) {
            columns.extend(name(&token));
        }
        if depth == 0 {
            break;
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::*;

    #[test]
    fn a_file_may_make_what_it_creates_and_nothing_that_it_only_names() {
        let claims = Claims::of(
            "-- games, likes
             create table if not exists toys (id int primary key, \"Kind\" text, check (id > 0), unique (size),
                 owner uuid references app.people);
             create or replace view public.totals as select games from rooms;
             create function app.price(a int, b int) returns int language sql as 'select 1';
             do $$ begin alter table only rooms add column if not exists note text, add constraint doors check (a),
                 rename column old to new; end $$;
             alter table rooms rename to halls;
             insert into storage.buckets (id) values ('avatars');
             select 'games' from public.games;",
        );
        let cases = [
            ("unknown_table", "public.toys", true),
            ("document_unknown_table", "public.totals", true),
            ("unknown_table", "public.halls", true),
            ("unknown_table", "app.toys", false),
            ("unknown_table", "public.games", false),
            ("unknown_table", "public.people", false),
            ("unknown_column", "public.toys.\"Kind\"", true),
            ("unknown_column", "public.toys.size", false),
            ("unknown_column", "public.toys.check", false),
            ("unknown_column", "public.totals.any", true),
            ("unknown_column", "public.rooms.note", true),
            ("unknown_column", "public.rooms.new", true),
            ("document_unknown_column", "public.rooms.old", false),
            ("unknown_column", "public.rooms.doors", false),
            ("unknown_column", "public.games.note", false),
            ("unknown_function", "app.price", true),
            ("unknown_argument", "app.price(c)", true),
            ("unknown_function", "public.price", false),
            ("unknown_relationship", "public.x(toys)", true),
            ("unknown_relationship", "app.people(games)", false),
            ("no_unique_key", "public.rooms (note)", true),
            ("unindexed_foreign_key", "k on public.rooms", true),
            ("row_security_without_policy", "public.rooms", false),
            ("table_without_row_security", "public.rooms", false),
            ("document_type", "public.rooms.note", false),
            ("unknown_bucket", "bucket avatars", true),
            ("unknown_bucket", "bucket other", false),
            ("generated_column", "public.toys.id", false),
            ("unknown_enum_value", "public.mood.avatars", true),
            ("unknown_enum_value", "public.mood.other", false),
        ];
        for (kind, object, expected) in cases {
            let finding = Finding::new(kind, Severity::Error, object, String::new());
            assert_eq!(claims.may_end(&finding), expected, "{kind} {object}");
        }
    }
}
