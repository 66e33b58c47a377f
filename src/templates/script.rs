//! SQL to be sent as one message, which knows the files it comes from.

use std::collections::BTreeSet;
use std::fmt;

use crate::schema;
use crate::sql_text::{self, Statement};

/// Rendered files, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    pieces: Vec<Piece>,
}

const PUBLIC_PATH: &str = "set local search_path = public, pg_temp;";
/// What [`PUBLIC_PATH`] replaces.
const OWN_PATH: &str = "set local search_path = pg_catalog, pg_temp;";

#[derive(Clone, Debug)]
struct Piece {
    /// Empty where it is from none.
    file: String,
    sql: String,
    /// Whether schema public is in the path while it runs.
    public_path: bool,
    /// What it sets for the transaction, by name: put back behind it.
    settings: BTreeSet<String>,
}

/// A line of a template file. Displayed as `file:line`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileLine {
    /// The file's name.
    pub file: String,
    /// From 1.
    pub line: usize,
}

/// A statement and where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SourceLocation {
    /// `None` where it is from no file.
    pub(crate) at: Option<FileLine>,
    /// The statement.
    pub(crate) text: String,
}

impl Script {
    /// Of no file.
    pub(crate) fn of(sql: impl Into<String>) -> Self {
        Self::of_file("", sql.into())
    }

    pub(crate) fn of_file(file: &str, sql: String) -> Self {
        let (file, settings) = (file.to_owned(), BTreeSet::new());
        Self { pieces: vec![Piece { file, sql, public_path: false, settings }] }
    }

    /// Whether schema public is to be in the path.
    pub(crate) fn with_public_path(mut self, public_path: bool) -> Self {
        self.pieces.iter_mut().for_each(|piece| piece.public_path = public_path);
        self
    }

    /// What it sets for the transaction, by names that need no quotes.
    pub(crate) fn with_settings(mut self, settings: &BTreeSet<String>) -> Self {
        self.pieces.iter_mut().for_each(|piece| piece.settings.clone_from(settings));
        self
    }

    /// The same with what sets the path before each file that needs another one, and what puts back the path and each
    /// file's own settings after it.
    pub(crate) fn with_paths(&self) -> Self {
        let mut script = Self::default();
        for piece in &self.pieces {
            let only = Self { pieces: vec![piece.clone()] };
            let (before, after) = piece.around();
            script.append(before);
            script.append(only);
            script.append(after);
        }
        script
    }

    /// Each statement by itself, after its `file:line`; with those of [`Self::with_paths`], which have none.
    pub(crate) fn singles(&self) -> Vec<(String, Self)> {
        let at = |at: Option<FileLine>| at.map(|at| at.to_string()).unwrap_or_default();
        let single = |place: SourceLocation| (at(place.at), Self::of(place.text + "\n;"));
        self.with_paths().places().into_iter().map(single).collect()
    }

    pub(crate) fn append(&mut self, other: Self) {
        self.pieces.extend(other.pieces);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.iter().all(|piece| piece.sql.is_empty())
    }

    /// The same with foreign keys to `agents` as calls, see [`schema::rewrite`]; statements and lines stay.
    pub(crate) fn with_agents_keys(&self) -> Self {
        let mut script = self.clone();
        for piece in &mut script.pieces {
            piece.sql = schema::rewrite(&piece.sql);
        }
        script
    }

    /// Every statement.
    pub(crate) fn places(&self) -> Vec<SourceLocation> {
        let of = |piece: &Piece| {
            sql_text::split(&piece.sql)
                .iter()
                .map(|statement| piece.place(statement, statement.line))
                .collect::<Vec<_>>()
        };
        self.pieces.iter().flat_map(of).collect()
    }

    /// The statement that failed after `done` others, or, where the server has named a character
    /// (from 1, of the whole), the one with that character. The server reads all of a message before
    /// it runs any of it, so an error of syntax comes before the first statement is done.
    pub(crate) fn locate(&self, done: usize, character: Option<usize>) -> Option<SourceLocation> {
        let Some(mut left) = character else { return self.places().into_iter().nth(done) };
        for piece in &self.pieces {
            let length = piece.sql.chars().count() + 1; // and the line break between two
            if left > length {
                left -= length;
                continue;
            }
            let before: String = piece.sql.chars().take(left.saturating_sub(1)).collect();
            let line = 1 + sql_text::line_ends(&before);
            let statements = sql_text::split(&piece.sql);
            let statement = statements.iter().rfind(|statement| statement.at <= before.len());
            return statement.or(statements.first()).map(|found| piece.place(found, line));
        }
        None
    }
}

impl Piece {
    /// What sets the path and keeps the settings before it, and what puts them back.
    fn around(&self) -> (Script, Script) {
        let (mut before, mut after) = (String::new(), String::new());
        if self.public_path {
            before += PUBLIC_PATH;
        }
        if !self.settings.is_empty() {
            let copy = |to: &str, from: &str| {
                format!(
                    "pg_catalog.set_config('{to}', pg_catalog.current_setting('{from}', true), true)"
                )
            };
            let kept = |number: usize| format!("provisioner_kept.setting_{number}");
            let settings = || self.settings.iter().enumerate();
            let keep: Vec<_> = settings().map(|(n, name)| copy(&kept(n), name)).collect();
            let put_back: Vec<_> = settings().map(|(n, name)| copy(name, &kept(n))).collect();
            before.extend(["select ", &keep.join(", "), ";"]);
            after.extend(["select ", &put_back.join(", "), ";"]);
        }
        if self.public_path {
            after += OWN_PATH;
        }
        let script = |sql: String| if sql.is_empty() { Script::default() } else { Script::of(sql) };
        (script(before), script(after))
    }

    fn place(&self, statement: &Statement<'_>, line: usize) -> SourceLocation {
        let at = (!self.file.is_empty()).then(|| FileLine { file: self.file.clone(), line });
        SourceLocation { at, text: statement.text.to_owned() }
    }
}

impl fmt::Display for FileLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pieces.iter().try_for_each(|piece| writeln!(f, "{}", piece.sql))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_found_by_its_number_or_by_a_character() {
        let mut script = Script::of_file("0001_a.sql", "-- é\ncreate a\n  (b);\nx;".to_owned());
        script.append(Script::of("y;"));
        script.append(Script::of_file("0002_b.sql", "\n\nz\n;".to_owned()));
        let all = script.to_string();
        let character = |text: &str| all.split(text).next().unwrap().chars().count() + 1;
        let cases = [
            (script.locate(0, None), Some(("0001_a.sql", 2)), "create a\n  (b)"),
            (script.locate(1, None), Some(("0001_a.sql", 4)), "x"),
            (script.locate(2, None), None, "y"),
            (script.locate(3, None), Some(("0002_b.sql", 3)), "z"),
            (script.locate(0, Some(character("b)"))), Some(("0001_a.sql", 3)), "create a\n  (b)"),
            (script.locate(0, Some(character("z"))), Some(("0002_b.sql", 3)), "z"),
            (script.locate(0, Some(1)), Some(("0001_a.sql", 1)), "create a\n  (b)"),
        ];
        for (found, at, text) in cases {
            let at = at.map(|(file, line)| FileLine { file: file.to_owned(), line });
            assert_eq!(found, Some(SourceLocation { at, text: text.to_owned() }));
        }
        assert_eq!(script.locate(4, None), None);
        assert_eq!(script.locate(0, Some(1000)), None);
    }
}
