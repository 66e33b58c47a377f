//! SQL to be sent as one message, which knows the files it comes from.

use std::fmt;

use super::agents_key;
use super::statement::{self, Statement};

/// Rendered files, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Script {
    pieces: Vec<Piece>,
}

const PUBLIC_PATH: &str = "set local search_path = public, pg_temp;";
/// What [`PUBLIC_PATH`] replaces. A single statement of a template comes without its semicolon.
const OWN_PATH: &str = ";set local search_path = pg_catalog, pg_temp;";

#[derive(Clone, Debug)]
struct Piece {
    /// Empty where it is from none.
    file: String,
    sql: String,
    /// Whether schema public is in the path while it runs.
    public_path: bool,
}

/// A statement and where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// `file:line`, or empty where it is from no file.
    pub(super) at: String,
    /// The statement.
    pub(super) text: String,
}

impl Script {
    /// Of no file.
    pub(super) fn of(sql: impl Into<String>) -> Self {
        Self::of_file("", sql.into())
    }

    pub(super) fn of_file(file: &str, sql: String) -> Self {
        Self { pieces: vec![Piece { file: file.to_owned(), sql, public_path: false }] }
    }

    /// Whether schema public is to be in the path.
    pub(super) fn with_public_path(mut self, public_path: bool) -> Self {
        self.pieces.iter_mut().for_each(|piece| piece.public_path = public_path);
        self
    }

    /// The same with what sets the path before and after each file that needs another one.
    pub(super) fn with_paths(&self) -> Self {
        let mut script = Self::default();
        for piece in &self.pieces {
            let only = Self { pieces: vec![piece.clone()] };
            if piece.public_path {
                script.append(Self::of(PUBLIC_PATH));
                script.append(only);
                script.append(Self::of(OWN_PATH));
            } else {
                script.append(only);
            }
        }
        script
    }

    /// Each statement by itself, after its `file:line`.
    pub(super) fn singles(&self) -> Vec<(String, Self)> {
        let of = |piece: &Piece| {
            let single = |statement: &Statement<'_>| {
                let place = piece.place(statement, statement.line);
                (place.at, Self::of(place.text).with_public_path(piece.public_path))
            };
            statement::split(&piece.sql).iter().map(single).collect::<Vec<_>>()
        };
        self.pieces.iter().flat_map(of).collect()
    }

    pub(super) fn append(&mut self, other: Self) {
        self.pieces.extend(other.pieces);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.iter().all(|piece| piece.sql.is_empty())
    }

    /// The same with foreign keys to `agents` as calls, see [`agents_key`]; statements and lines stay.
    pub(super) fn with_agents_keys(&self) -> Self {
        let mut script = self.clone();
        for piece in &mut script.pieces {
            piece.sql = agents_key::rewrite(&piece.sql);
        }
        script
    }

    /// Every statement.
    pub(super) fn places(&self) -> Vec<Place> {
        let of = |piece: &Piece| {
            statement::split(&piece.sql)
                .iter()
                .map(|statement| piece.place(statement, statement.line))
                .collect::<Vec<_>>()
        };
        self.pieces.iter().flat_map(of).collect()
    }

    /// The statement that failed after `done` others, or, where the server has named a character
    /// (from 1, of the whole), the one with that character. The server reads all of a message before
    /// it runs any of it, so an error of syntax comes before the first statement is done.
    pub(super) fn culprit(&self, done: usize, character: Option<usize>) -> Option<Place> {
        let Some(mut left) = character else { return self.places().into_iter().nth(done) };
        for piece in &self.pieces {
            let length = piece.sql.chars().count() + 1; // and the line break between two
            if left > length {
                left -= length;
                continue;
            }
            let before: String = piece.sql.chars().take(left.saturating_sub(1)).collect();
            let line = 1 + before.matches('\n').count();
            let statements = statement::split(&piece.sql);
            let statement = statements.iter().rfind(|statement| statement.at <= before.len());
            return statement.or(statements.first()).map(|found| piece.place(found, line));
        }
        None
    }
}

impl Piece {
    fn place(&self, statement: &Statement<'_>, line: usize) -> Place {
        let at = if self.file.is_empty() { String::new() } else { format!("{}:{line}", self.file) };
        Place { at, text: statement.text.to_owned() }
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
            (script.culprit(0, None), "0001_a.sql:2", "create a\n  (b)"),
            (script.culprit(1, None), "0001_a.sql:4", "x"),
            (script.culprit(2, None), "", "y"),
            (script.culprit(3, None), "0002_b.sql:3", "z"),
            (script.culprit(0, Some(character("b)"))), "0001_a.sql:3", "create a\n  (b)"),
            (script.culprit(0, Some(character("z"))), "0002_b.sql:3", "z"),
            (script.culprit(0, Some(1)), "0001_a.sql:1", "create a\n  (b)"),
        ];
        for (found, at, text) in cases {
            assert_eq!(found, Some(Place { at: at.to_owned(), text: text.to_owned() }));
        }
        assert_eq!(script.culprit(4, None), None);
        assert_eq!(script.culprit(0, Some(1000)), None);
    }
}
