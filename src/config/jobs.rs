//! Section `jobs`: what is kept of them.

use std::time::Duration;

use serde::Deserialize;

use super::error::Error;
use super::parse::duration;

/// Below that, what the deletion limit counts would be forgotten.
const SHORTEST: Duration = Duration::from_hours(1);

/// A date that far away still fits into the database's.
const LONGEST: Duration = Duration::from_hours(10 * 366 * 24);

/// Section `jobs`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Jobs {
    /// How long finished jobs are kept; zero for ever.
    #[serde(deserialize_with = "duration")]
    pub keep: Duration,
}

impl Default for Jobs {
    fn default() -> Self {
        Self { keep: Duration::from_hours(90 * 24) }
    }
}

impl Jobs {
    pub(crate) fn check(&self) -> Result<(), Error> {
        if !self.keep.is_zero() && !(SHORTEST..=LONGEST).contains(&self.keep) {
            let reason = "must be 0s, or from 1h to 10years".to_owned();
            return Err(Error::Value { key: "jobs.keep".to_owned(), reason });
        }
        Ok(())
    }
}
