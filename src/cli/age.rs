//! How long ago, as it is typed.

use std::time::Duration;

pub(super) use crate::telemetry::age;

/// More than any row is old, and little enough for the server to subtract it from a date.
const LONGEST: Duration = Duration::from_hours(24 * 365 * 100);

/// An age as an argument, such as `2h` or `30d`.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let age = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if age > LONGEST { Err("at most 100 years".to_owned()) } else { Ok(age) }
}
