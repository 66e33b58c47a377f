//! Why an operator does something, for the record.

use super::form::Fields;
use crate::telemetry::is_printable;

/// What the database keeps of a reason, in characters.
pub(super) const LONGEST: usize = 1000;

/// The reason of a form, in one line, or what is wrong with it. People read it later, and it hides or turns nothing.
pub(super) fn read(fields: &Fields) -> Result<String, String> {
    let reason = fields.get("reason").ok_or("Give a reason: it goes into the record.")?;
    let reason = reason.split(['\r', '\n', '\t']).filter(|line| !line.trim().is_empty());
    let reason: String = reason.collect::<Vec<_>>().join(" ");
    let length = reason.chars().count();
    if length > LONGEST {
        return Err(format!(
            "The reason has {length} characters, and {LONGEST} are kept: make it shorter."
        ));
    }
    match reason.chars().find(|c| !is_printable(*c)) {
        Some(c) => Err(format!(
            "The reason has a character that nobody sees, U+{:04X}: take it out.",
            u32::from(c)
        )),
        None => Ok(reason),
    }
}
