//! SQL to be run, which knows the files it comes from.

use std::collections::BTreeSet;
use std::fmt;

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
}

impl SourceLocation {
    /// The same with the line of a character, from 1, of the statement.
    pub(crate) fn at_character(mut self, character: u32) -> Self {
        let before = usize::try_from(character).map_or(0, |character| character.saturating_sub(1));
        let before: String = self.text.chars().take(before).collect();
        if let Some(at) = &mut self.at {
            at.line += sql_text::line_ends(&before);
        }
        self
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
    fn a_statement_is_known_by_its_file_and_line_and_an_error_by_that_of_its_character() {
        let mut script = Script::of_file("0001_a.sql", "-- é\ncreate a\n  (é b);\nx;".to_owned());
        script.append(Script::of("y;"));
        script.append(Script::of_file("0002_b.sql", "\n\nz\n;".to_owned()));
        let at = |place: &SourceLocation| place.at.as_ref().map(ToString::to_string);
        let places = script.places();
        let lines: Vec<_> = places.iter().map(at).collect();
        let at_2 = Some("0001_a.sql:2".to_owned());
        let [x, z] = ["0001_a.sql:4", "0002_b.sql:3"].map(|line| Some(line.to_owned()));
        assert_eq!(lines, [at_2.clone(), x, None, z]);
        let texts: Vec<_> = places.iter().map(|place| place.text.as_str()).collect();
        assert_eq!(texts, ["create a\n  (é b)", "x", "y", "z"]);
        let create = places.first().unwrap();
        assert_eq!(at(&create.clone().at_character(8)), at_2);
        assert_eq!(at(&create.clone().at_character(14)), Some("0001_a.sql:3".to_owned()));
        assert_eq!(at(&places.get(2).unwrap().clone().at_character(1)), None);
    }
}
