//! Aligned text for people: columns under headings, nothing drawn.

use std::env;
use std::io::{self, IsTerminal, Write};

use comfy_table::{Cell, Color, ColumnConstraint, ContentArrangement, Row};
use terminal_size::{Width, terminal_size_of};

use crate::telemetry::Printable;

pub(super) use crate::sql_text::pasteable;

/// Fits a terminal's width; in a pipe every cell is whole and every row a line.
pub(super) struct Table {
    inner: comfy_table::Table,
    one_line: bool,
    /// The column of states, which a terminal shows in colour.
    states: Option<usize>,
}

impl Table {
    /// For lists: on a terminal too, each row is one line, and what does not fit is cut.
    pub(super) fn list(headings: &[&str]) -> Self {
        let mut list = Self::facts();
        list.head(headings);
        list.one_line = true;
        list
    }

    /// For lists whose last column is to be read whole: it takes as many lines as it needs.
    pub(super) fn list_with_notes(headings: &[&str]) -> Self {
        let mut list = Self::facts();
        list.head(headings);
        for column in list.inner.column_iter_mut().rev().skip(1) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
        list
    }

    /// For one thing's properties: names on the left, and on the right as many lines as needed.
    pub(super) fn facts() -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        match terminal_size_of(io::stdout()) {
            Some((Width(width), _)) => {
                table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width)
            }
            None => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        Self { inner: table, one_line: false, states: None }
    }

    fn head(&mut self, headings: &[&str]) {
        self.inner.set_header(headings);
        self.states = headings.iter().position(|heading| *heading == "STATE");
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let states = self.states;
        let mut row = Row::from(cells.into_iter().enumerate().map(|(column, text)| {
            let cell = Cell::new(clean(&text));
            match colour(&text) {
                Some(colour) if states == Some(column) && coloured() => cell.fg(colour),
                Some(_) | None => cell,
            }
        }));
        if self.one_line {
            row.max_height(1);
        }
        self.inner.add_row(row);
    }

    /// A property; nothing where there is none.
    pub(super) fn fact(&mut self, name: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.row([name.to_owned(), value.to_string()]);
        }
    }

    pub(super) fn print(mut self, out: &mut impl Write, indent: u16) -> io::Result<()> {
        for (index, column) in self.inner.column_iter_mut().enumerate() {
            column.set_padding((if index == 0 { indent } else { 0 }, 2));
        }
        for line in self.inner.lines() {
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Whether standard output is a terminal that shows colours.
pub(super) fn coloured() -> bool {
    let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && !refused && !is_dumb()
}

/// Whether the terminal knows nothing but text.
pub(super) fn is_dumb() -> bool {
    env::var_os("TERM").is_none_or(|name| name.is_empty() || name == "dumb")
}

/// Of a job's or an agent's state: red where somebody has to act, yellow where something is not as it was, green where all
/// is well.
fn colour(state: &str) -> Option<Color> {
    match state {
        "dead" | "failed" | "blocked" | "waiting" => Some(Color::Red),
        "paused" | "kept" | "orphaned" | "drifted" | "renamed" | "cancelled" => Some(Color::Yellow),
        "ready" | "succeeded" => Some(Color::Green),
        _ => None,
    }
}

/// Whatever names and messages contain, they do not steer the terminal, and begin no line.
pub(super) fn clean(text: &str) -> String {
    Printable(text).to_string()
}

/// A statement in one line, so that a comment can be made of it.
pub(super) fn one_line(statement: &str) -> String {
    pasteable(statement).replace('\n', " ")
}

/// A number with its noun.
pub(super) fn counted(number: impl TryInto<i64>, noun: &str) -> String {
    let number = number.try_into().unwrap_or(i64::MAX);
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Of something on disk.
pub(super) fn size(bytes: i64) -> String {
    let kib = bytes / 1024;
    if kib < 10_240 { format!("{kib} kB") } else { format!("{} MB", kib / 1024) }
}

/// A dash where there is nothing.
pub(super) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

pub(super) fn print_json(out: &mut impl Write, value: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)
}
