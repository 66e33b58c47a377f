//! Ids that Meta gives.

use std::fmt;
use std::str::FromStr;

/// Of an app, a number or an account: 5 to 32 digits, as the database takes them.
#[derive(Clone, Debug)]
pub(crate) struct MetaId(String);

/// The text is no id. It may be a secret that somebody has put there, and is not quoted.
#[derive(Debug, thiserror::Error)]
#[error("an id that Meta gives has 5 to 32 digits, and nothing else")]
pub(crate) struct InvalidMetaId;

impl MetaId {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MetaId {
    type Err = InvalidMetaId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_digit = |byte: u8| byte.is_ascii_digit();
        let valid = (5..=32).contains(&text.len()) && text.bytes().all(is_digit);
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidMetaId) }
    }
}

impl fmt::Display for MetaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
