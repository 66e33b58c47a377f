//! Values that are added to an enum and used before the transaction ends, which the server refuses.
//!
//! Where the type was made in the same transaction a server since PostgreSQL 17 takes them. So a new agent would be
//! built, and no agent that has the type already could be upgraded.

use std::collections::{HashMap, HashSet};

use super::load_error::LoadError;
use super::placeholders::sample;
use super::settings::plain_text;
use super::template::Template;
use crate::sql_text::{Reader, Statement, Token, name, split};

/// What to do instead.
pub(crate) const INSTEAD: &str = "Make the type anew: alter type public.{prefix}_x rename to {prefix}_x_old; create type \
     public.{prefix}_x as enum (… all values …); alter table … alter column … drop default, alter column … type \
     public.{prefix}_x using …::text::public.{prefix}_x, alter column … set default …; drop type public.{prefix}_x_old";

/// What the files have done so far.
#[derive(Default)]
struct Seen {
    /// Tables by the types that their statements name.
    tables: HashMap<String, HashSet<String>>,
    /// Types, and where the value was added to them, by the value.
    added: HashMap<String, Vec<(String, String)>>,
}

/// Looks through the files of a set, in order.
pub(crate) fn check(files: &[Template]) -> Result<(), LoadError> {
    let mut seen = Seen::default();
    for file in files {
        let filled = sample(file.text());
        for statement in split(&filled) {
            seen.follow(&file.name, &statement).map_err(|(line, reason)| LoadError::Content {
                file: file.name.clone(),
                line,
                reason,
            })?;
        }
    }
    Ok(())
}

impl Seen {
    fn follow(&mut self, file: &str, statement: &Statement<'_>) -> Result<(), (usize, String)> {
        if let Some((of, value)) = added(statement) {
            let at = format!("{file}:{}", statement.line);
            self.added.entry(value).or_default().push((of, at));
            return Ok(());
        }
        if let Some((value, at)) = self.used(statement) {
            let reason = format!(
                "the value {} was added in {at}, and cannot be used before that is committed. {INSTEAD}",
                value.text
            );
            return Err((statement.line_of(&value), reason));
        }
        let mut rest = Reader::new(statement.text);
        if rest.words("create type") {
            self.tables.extend(
                rest.qualified().and_then(|mut parts| parts.pop()).map(|of| (of, HashSet::new())),
            );
        } else if let Some(table) = table(rest) {
            for name in statement.tokens().filter_map(|token| name(&token)) {
                if let Some(tables) = self.tables.get_mut(&name) {
                    tables.insert(table.clone());
                }
            }
        }
        Ok(())
    }

    /// An added value in a statement that has to do with its type, and where it was added.
    fn used<'a>(&self, statement: &Statement<'a>) -> Option<(Token<'a>, &str)> {
        if self.added.is_empty() {
            return None;
        }
        let names: HashSet<_> = statement.tokens().filter_map(|token| name(&token)).collect();
        let concerns = |of: &String| {
            let tables = self.tables.get(of);
            names.contains(of) || tables.is_some_and(|tables| !tables.is_disjoint(&names))
        };
        statement.tokens().find_map(|token| {
            let added = self.added.get(plain_text(&token)?)?;
            added.iter().find(|(of, _)| concerns(of)).map(|(_, at)| (token, at.as_str()))
        })
    }
}

/// Of `alter type NAME add value [if not exists] 'VALUE' …`.
fn added(statement: &Statement<'_>) -> Option<(String, String)> {
    let mut rest = Reader::new(statement.text);
    if !rest.words("alter type") {
        return None;
    }
    let of = rest.qualified()?.pop()?;
    if !rest.words("add value") {
        return None;
    }
    rest.words("if not exists");
    let value = rest.next()?;
    Some((of, plain_text(&value)?.to_owned()))
}

/// The table that a statement makes or alters.
fn table(mut rest: Reader<'_>) -> Option<String> {
    if !rest.words("create table") && !rest.words("alter table") {
        return None;
    }
    rest.words("if not exists");
    rest.words("if exists");
    rest.words("only");
    rest.qualified()?.pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(files: [&str; 2]) -> Option<String> {
        let parse = |(name, text)| Template::parse(name, text).unwrap();
        let files: Vec<_> =
            ["0001_a.sql", "0002_b.sql"].into_iter().zip(files).map(parse).collect();
        check(&files).err().map(|error| error.to_string())
    }

    #[test]
    fn a_value_that_is_used_too_early_is_found() {
        let base = "create type public.{prefix}_mood as enum ('good');
                    create table public.{prefix}_t (id int, mood {prefix}_mood, note text);";
        let add = "alter type public.{prefix}_mood add value if not exists 'bad';\n";
        for using in [
            "alter table public.{prefix}_t alter mood set default 'bad'",
            "insert into public.{prefix}_t (mood)\nvalues ('bad')",
            "create index on public.{prefix}_t (id) where mood = 'bad'",
            "select 'bad'::public.\"{prefix}_mood\"",
        ] {
            let error = refused([base, &format!("{add}{using}")]).unwrap();
            let line = if using.contains('\n') { 3 } else { 2 };
            let place =
                format!("template 0002_b.sql:{line}: the value 'bad' was added in 0002_b.sql:1,");
            assert!(error.starts_with(&place), "{error}");
        }
        assert!(refused([&format!("{base}{add}"), "select 'bad'::public.{prefix}_mood"]).is_some());
        for fine in [
            "",
            "insert into public.{prefix}_t (mood) values ('good')",
            "create table public.{prefix}_u (a text default 'bad')",
            "select 'bad'",
        ] {
            assert_eq!(refused([base, &format!("{add}{fine}")]), None, "{fine}");
        }
        assert_eq!(refused([base, &format!("select 'bad'::public.{{prefix}}_mood;{add}")]), None);
    }
}
