//! The name under which an agent's tables stand.

use std::fmt;
use std::str::FromStr;

/// An agent's prefix, such as `agt_6f78`: `^[a-z][a-z0-9_]{1,19}$`.
///
/// Parsing is the only door, so a `Prefix` may be spliced into SQL as the head of an identifier:
/// it needs no quotes, folds to itself, and with any suffix of up to 43 bytes stays below
/// PostgreSQL's limit of 63 (manual, section 4.1.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Prefix(String);

/// The text is no prefix.
#[derive(Debug, thiserror::Error)]
#[error(
    "agent prefix {0:?} is not valid: use 2 to 20 of a-z, 0-9 and _, starting with a letter, \
     such as \"agt_6f78\""
)]
pub struct InvalidPrefix(String);

impl Prefix {
    /// In characters, and so in bytes.
    pub const LONGEST: usize = 20;

    /// The prefix as it stands in the `agents` table.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Prefix {
    type Err = InvalidPrefix;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = text.bytes();
        let valid = (2..=Self::LONGEST).contains(&text.len())
            && bytes.next().is_some_and(|first| first.is_ascii_lowercase())
            && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidPrefix(text.to_owned())) }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_the_table_takes_and_nothing_else() {
        for good in ["ab", "agt_6f78", "a0", "a_", "abcdefghijklmnopqrst", "select", "pg_x"] {
            assert!(good.parse::<Prefix>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "a",
            "abcdefghijklmnopqrstu",
            "Agt",
            "1ab",
            "_ab",
            "a-b",
            "a b",
            "a\"b",
            "a;b",
            "a%b",
            "agt\n",
            "агт",
            "a\u{0301}b",
            "ａｂ",
            "a'b",
            "a\0b",
        ] {
            assert!(bad.parse::<Prefix>().is_err(), "{bad:?}");
        }
    }
}
