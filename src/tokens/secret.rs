//! A secret in the clear, for as long as it is needed.

use std::fmt;

use zeroize::Zeroizing;

use super::error::Error;

const SHORTEST: usize = 8;
const LONGEST: usize = 4096;
/// The last four characters of a shorter one would be too much of it.
const SHORTEST_TO_SHOW: usize = 16;

/// A token or secret. It is overwritten when it goes, and has no `Display`.
pub(crate) struct Secret(Zeroizing<String>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// A line end behind it is none of it.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        let refused = || Error::NotASecret(bytes.len());
        let text = str::from_utf8(bytes).map_err(|_no_text| refused())?;
        let usual = text.bytes().all(|byte| byte.is_ascii_graphic());
        if !usual || !(SHORTEST..=LONGEST).contains(&text.len()) {
            return Err(refused());
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// For people to tell secrets apart; none of a short one.
    pub(crate) fn last_four(&self) -> Option<&str> {
        let start = self.0.len().checked_sub(4)?;
        self.0.get(start..).filter(|_four| self.0.len() >= SHORTEST_TO_SHOW)
    }
}
