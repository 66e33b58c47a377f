//! The file that names who may enter: a line holds a name, a role and a token, or the token's hash.
//!
//! It is read at each request, so a line that is taken away ends its access at once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::viewer::{Role, Viewer};
use crate::config::exposure;

/// A shorter token might be guessed.
const SHORTEST: usize = 32;

/// Why the file cannot be used. No message holds a token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not there, or not for us.
    #[error("cannot read console.tokens_file {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// Others may read or change it.
    #[error("console.tokens_file {} is open to others: chmod 600 it", .0.display())]
    Open(PathBuf),
    /// A line that is no entry.
    #[error("line {line} of console.tokens_file {}: {reason}", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What would be right.
        reason: &'static str,
    },
    /// Nobody could enter.
    #[error("console.tokens_file {} names nobody: write a line NAME ROLE TOKEN", .0.display())]
    Empty(PathBuf),
}

/// Who has this token.
pub(super) fn find(path: &Path, token: &str) -> Result<Option<Viewer>, Error> {
    let given = Sha256::digest(token.as_bytes());
    // Every entry is compared, and hashes are: how long that takes tells nothing of a token.
    let mut found = None;
    for entry in read(path)? {
        let differs = entry.hash.iter().zip(given.iter()).fold(0, |all, (a, b)| all | (a ^ b));
        if differs == 0 {
            found = Some(entry.viewer);
        }
    }
    Ok(found)
}

struct Entry {
    viewer: Viewer,
    hash: [u8; 32],
}

/// Fails also where the file names nobody.
pub(super) fn check(path: &Path) -> Result<(), Error> {
    if read(path)?.is_empty() { Err(Error::Empty(path.to_owned())) } else { Ok(()) }
}

fn read(path: &Path) -> Result<Vec<Entry>, Error> {
    let failed = |source| Error::Read(path.to_owned(), source);
    if exposure(path).map_err(failed)?.is_some() {
        return Err(Error::Open(path.to_owned()));
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    let mut entries: Vec<Entry> = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let entry = entry(line).and_then(|entry| {
            let twice = entries.iter().any(|other| other.viewer.name == entry.viewer.name);
            if twice { Err("the name stands there twice") } else { Ok(entry) }
        });
        let bad = |reason| Error::Line { path: path.to_owned(), line: number, reason };
        entries.push(entry.map_err(bad)?);
    }
    Ok(entries)
}

fn entry(line: &str) -> Result<Entry, &'static str> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [name, role, token] = words.as_slice() else {
        return Err("write NAME ROLE TOKEN, with nothing after it");
    };
    let usual = |c: char| c.is_ascii_alphanumeric() || "._@+-".contains(c);
    if name.len() > 64 || !name.chars().all(usual) {
        return Err("a name is of letters, digits and . _ @ + -, at most 64");
    }
    let role = match *role {
        "read" => Role::Read,
        "operate" => Role::Operate,
        _ => return Err("a role is read or operate"),
    };
    let hash = match token.strip_prefix("sha256:") {
        Some(hex) => from_hex(hex).ok_or("after sha256: stand 64 hexadecimal digits")?,
        None if token.len() < SHORTEST => return Err("a token has at least 32 characters"),
        None => Sha256::digest(token.as_bytes()).into(),
    };
    Ok(Entry { viewer: Viewer { name: (*name).to_owned(), role }, hash })
}

fn from_hex(hex: &str) -> Option<[u8; 32]> {
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, index) in bytes.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(hex.get(index..index + 2)?, 16).ok()?;
    }
    Some(bytes)
}
