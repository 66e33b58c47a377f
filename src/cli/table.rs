//! Aligned text for people: columns under headings, nothing drawn.

use std::io::{self, Write};

use comfy_table::{Cell, ColumnConstraint, ContentArrangement, Row};
use terminal_size::{Width, terminal_size_of};

use crate::telemetry::Printable;

pub(super) use crate::sql_text::pasteable;

/// Fits a terminal's width; in a pipe every cell is whole and every row a line.
pub(super) struct Table {
    table: comfy_table::Table,
    one_line: bool,
}

impl Table {
    /// For lists: on a terminal too, each row is one line, and what does not fit is cut.
    pub(super) fn list(headings: &[&str]) -> Self {
        let mut list = Self::facts();
        list.table.set_header(headings);
        list.one_line = true;
        list
    }

    /// For lists whose last column is to be read whole: it takes as many lines as it needs.
    pub(super) fn list_with_notes(headings: &[&str]) -> Self {
        let mut list = Self::facts();
        list.table.set_header(headings);
        for column in list.table.column_iter_mut().rev().skip(1) {
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
        Self { table, one_line: false }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut row = Row::from(cells.into_iter().map(|cell| Cell::new(clean(&cell))));
        if self.one_line {
            row.max_height(1);
        }
        self.table.add_row(row);
    }

    /// A property; nothing where there is none.
    pub(super) fn fact(&mut self, name: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.row([name.to_owned(), value.to_string()]);
        }
    }

    pub(super) fn print(mut self, out: &mut impl Write, indent: u16) -> io::Result<()> {
        for (index, column) in self.table.column_iter_mut().enumerate() {
            column.set_padding((if index == 0 { indent } else { 0 }, 2));
        }
        for line in self.table.lines() {
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
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

/// A dash where there is nothing.
pub(super) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

pub(super) fn print_json(out: &mut impl Write, value: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)
}
