//! What a document says that is not so.

use crate::audit::relations::{Column, Table};
use crate::sql_text::quoted;

/// What a row says that is not so.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) kind: &'static str,
    pub(super) object: String,
    pub(super) message: String,
    pub(super) fix: String,
}

/// A column as findings name it.
pub(super) fn object(table: &Table, column: &Column) -> String {
    format!("{}.{}", table.name, quoted(&column.name))
}
