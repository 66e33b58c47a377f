//! By which a text is known again.

use sha2::{Digest, Sha256};

/// The sha256 in hex.
pub(crate) fn checksum(text: &str) -> String {
    Sha256::digest(text).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}
