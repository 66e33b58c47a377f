//! Why the code cannot be read.

use std::io;
use std::path::PathBuf;

/// Why the code cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A directory is not there, or not readable.
    #[error("cannot look for code")]
    Walk(#[from] ignore::Error),
    /// The thread that reads code cannot be started.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    /// A directory without any.
    #[error("there is no JavaScript or TypeScript in {}", .0.display())]
    NoFiles(PathBuf),
}
