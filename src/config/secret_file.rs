//! Whether a file of secrets is kept from other users of the machine.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Bits of a file's mode: others may read or execute it.
const READ: u32 = 0o005;
/// The group or others may write it.
const WRITE: u32 = 0o022;

/// What others may do with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exposure {
    /// Every user of the machine may read it.
    Read,
    /// Others may change it.
    Write,
}

/// What others may do with the file; `None`: nothing. Its group may read it: that is how a service gets a file of root's.
pub(crate) fn exposure(file: &Path) -> io::Result<Option<Exposure>> {
    let mode = fs::metadata(file)?.mode();
    Ok(if mode & WRITE != 0 {
        Some(Exposure::Write)
    } else if mode & READ != 0 {
        Some(Exposure::Read)
    } else {
        None
    })
}
