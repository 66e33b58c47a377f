//! Why template files cannot be loaded.

use std::io;
use std::path::PathBuf;

/// A template set that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The directory or a file in it cannot be read.
    #[error("cannot read templates at {path}")]
    Read {
        /// What was read.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Nothing in the directory is a template.
    #[error("no template in {0}: name the first file 0001_something.sql")]
    Empty(PathBuf),
    /// A file's name has no number, or one that another file has.
    #[error(
        "template {0}: its name must be NNNN_name.sql, in lower case at the end, with a number from 1 that no other \
         file has"
    )]
    Name(String),
    /// Something in a file would break the transaction or would not be filled in.
    #[error("template {file}:{line}: {reason}")]
    Content {
        /// The file's name.
        file: String,
        /// From 1.
        line: usize,
        /// What is wrong, and how to fix it.
        reason: String,
    },
}
