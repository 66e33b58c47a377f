//! Section `tokens`: where the keys are.

use std::path::PathBuf;

use serde::Deserialize;

use super::parse::path;

/// Section `tokens`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tokens {
    /// The keys that the secrets of numbers and apps are encrypted with, one a line.
    #[serde(deserialize_with = "path")]
    pub keys_file: Option<PathBuf>,
}
