//! What a template file says of itself, in comments.

use super::placeholders::unsample;
use super::refusal::Refusal;
use crate::sql_text::{Kind, tokens};

/// Before the first statement of a file that builds or drops indexes without locking tables.
pub(crate) const CONCURRENTLY: &str = "-- provisioner: concurrently";

/// Before the name of a table that everybody may see.
const PUBLIC: &str = "-- provisioner: public ";

/// What a file says of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directives {
    /// Its indexes are built and dropped concurrently.
    pub(crate) concurrent: bool,
    /// The tables that may be public, with `{prefix}`, and on which line it says so.
    pub(crate) public: Vec<(usize, String)>,
}

impl Directives {
    /// Reads a filled file.
    pub(crate) fn read(filled: &str) -> Result<Self, Refusal> {
        let mut found = Self::default();
        let mut begun = false;
        for token in tokens(filled) {
            begun |= !token.is_blank();
            let line = token.text.trim_end();
            let said = line.strip_prefix("--").filter(|_| token.kind == Kind::Comment);
            if !said.is_some_and(|said| said.trim_start().starts_with("provisioner:")) {
                continue;
            }
            let table = line.strip_prefix(PUBLIC).map(|table| unsample(table.trim()));
            if line == CONCURRENTLY && !begun {
                found.concurrent = true;
            } else if let Some(table) = table.filter(|table| table.starts_with("{prefix}_")) {
                found.public.push((token.line, table));
            } else {
                let reason = format!(
                    "the only such lines are `{CONCURRENTLY}`, before all statements, and \
                     `{PUBLIC}{{prefix}}_x`, with the bare name of a table"
                );
                return Err((token.line, reason));
            }
        }
        Ok(found)
    }
}
