//! Section `deprovision`: how final a deletion is, and how many go through unasked.

use std::time::Duration;

use serde::Deserialize;

use super::error::Error;
use super::parse::duration;

/// A date that far away still fits into the database's.
const LONGEST: Duration = Duration::from_hours(10 * 366 * 24);

/// Section `deprovision`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Deprovision {
    /// How long a deleted agent's tables are kept; nothing drops them at once.
    #[serde(deserialize_with = "duration")]
    pub retention: Duration,
    /// Deletions within an hour that nobody has to confirm; `None` for any number.
    pub max_per_hour: Option<u32>,
    /// Deletions within an hour that nobody asked for, by a DELETE or `delete_agent`. Beyond that all of them
    /// wait for an operator's approval.
    pub max_unreported: u32,
}

impl Default for Deprovision {
    fn default() -> Self {
        let retention = Duration::from_hours(7 * 24);
        Self { retention, max_per_hour: None, max_unreported: 3 }
    }
}

impl Deprovision {
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.retention > LONGEST {
            let reason = "must be at most 10years".to_owned();
            let key = "deprovision.retention".to_owned();
            return Err(Error::Value { key, reason });
        }
        Ok(())
    }
}
