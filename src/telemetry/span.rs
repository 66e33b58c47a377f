//! Which of many databases a line of the log is about.

use std::fmt::Display;

/// What is logged within carries the name, whatever the level.
pub(crate) fn of_database(name: &impl Display) -> tracing::Span {
    tracing::error_span!("instance", database = %name)
}
