//! Section `verify`: whether agents stay as they should be.

use std::time::Duration;

use serde::Deserialize;

use super::error::Error;
use super::parse::duration;

/// Each comparison runs the templates once, for nobody.
const SHORTEST: Duration = Duration::from_millis(100);

/// Section `verify`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Verify {
    /// Between comparisons of all agents with the templates; zero for none.
    #[serde(deserialize_with = "duration")]
    pub interval: Duration,
}

impl Default for Verify {
    fn default() -> Self {
        Self { interval: Duration::from_mins(10) }
    }
}

impl Verify {
    pub(crate) fn check(&self) -> Result<(), Error> {
        if !self.interval.is_zero() && self.interval < SHORTEST {
            let reason = "must be 0s, or at least 100ms".to_owned();
            return Err(Error::Value { key: "verify.interval".to_owned(), reason });
        }
        Ok(())
    }
}
