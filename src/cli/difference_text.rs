//! A difference as text.

use std::io::{self, Write};

use super::table::{clean, one_line};
use crate::operations::verify::DifferenceReport;

pub(super) fn print(difference: &DifferenceReport, out: &mut impl Write) -> io::Result<()> {
    let DifferenceReport { change, kind, object, expected, found, obstacle, by_hand } = difference;
    let object = clean(object);
    match (*change, found) {
        ("renamed", Some(found)) => {
            writeln!(out, "  {change:<8} {kind:<12} {object}, found as {}", clean(found))?;
        }
        _ => writeln!(out, "  {change:<8} {kind:<12} {object}")?,
    }
    if let (Some(expected), Some(found)) = (expected, found) {
        writeln!(out, "           expected     {}", clean(expected))?;
        writeln!(out, "           found        {}", clean(found))?;
    }
    if let Some(obstacle) = obstacle {
        writeln!(out, "           no repair    {}", clean(obstacle))?;
    }
    if let Some(by_hand) = by_hand {
        writeln!(out, "           by hand      {};", one_line(by_hand))?;
    }
    Ok(())
}
