//! Why keys or secrets cannot be used. No message holds a part of either.

use std::io;
use std::path::PathBuf;

use super::key_id::KeyId;
use super::weakness::Weakness;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "tokens.keys_file is not set: it names the file of the keys, and `agent-provisioner keys generate --file FILE` makes one"
    )]
    NotSet,
    #[error("cannot read the keys from {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// Whoever adds a key reads what is set from then on.
    #[error("others can write {}: chmod 600 it, and see that its last line is a key of yours", .0.display())]
    Writable(PathBuf),
    #[error("tokens.keys_file names a file, and has a key itself")]
    KeyAsFile,
    #[error("cannot write a new key into {}", .0.display())]
    Write(PathBuf, #[source] io::Error),
    #[error("{} has no key; agent-provisioner keys generate appends one", .0.display())]
    NoKey(PathBuf),
    #[error("line {line} of {} is no key: 32 bytes in base64, as `openssl rand -base64 32` prints them", .file.display())]
    NotAKey { file: PathBuf, line: usize },
    #[error("line {line} of {} is the same key as one above it: take one of them out", .file.display())]
    Twice { file: PathBuf, line: usize },
    #[error("the last key, {0}, is weak: {1}. Append another: agent-provisioner keys generate")]
    Weak(KeyId, Weakness),
    #[error("the system gives no random bytes")]
    Random,
    #[error(
        "what was read is no secret: 8 to 4096 letters, digits and signs without spaces are expected, on one line, and it has {0} bytes"
    )]
    NotASecret(usize),
    #[error("it is not in the format of docs/tokens.md: set it anew")]
    Format,
    #[error(
        "it is encrypted with key {0}, which tokens.keys_file lacks: put the key back, or set it anew"
    )]
    MissingKey(KeyId),
    #[error(
        "key {0} does not decrypt it: it was changed, or encrypted for another number, app or business. Set it anew"
    )]
    Undecryptable(KeyId),
}

impl Error {
    /// Whether the settings, the keys or the input have to change.
    pub(crate) const fn is_bad_input(&self) -> bool {
        match self {
            Self::NotSet
            | Self::Read(..)
            | Self::Writable(_)
            | Self::KeyAsFile
            | Self::NoKey(_)
            | Self::NotAKey { .. }
            | Self::Twice { .. }
            | Self::Weak(..)
            | Self::NotASecret(_) => true,
            Self::Write(..)
            | Self::Random
            | Self::Format
            | Self::MissingKey(_)
            | Self::Undecryptable(_) => false,
        }
    }
}
