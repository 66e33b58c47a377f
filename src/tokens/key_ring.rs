//! The keys of a file: the last one encrypts, all decrypt.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use zeroize::Zeroizing;

use super::binding::Binding;
use super::error::Error;
use super::key::Key;
use super::key_id::KeyId;
use super::sealed::{self, Sealed};
use super::secret::Secret;
use crate::config::{Exposure, exposure};

/// Whoever made the file, and nobody else.
const OWNER_ONLY: u32 = 0o600;

/// An editor may have put it at the beginning of a file.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// More bytes are no file of keys.
const MOST_BYTES: u64 = 64 * 1024;

/// The keys of a file, in its order; at least one.
#[derive(Debug)]
pub(crate) struct KeyRing {
    older: Vec<Key>,
    last: Key,
}

impl KeyRing {
    /// One key a line; empty lines and lines that begin with `#` are none.
    pub(crate) fn read(file: &Path) -> Result<Self, Error> {
        let text = read(file).map_err(|source| {
            // Somebody may have given a key in the place of its file.
            match file.to_str().and_then(Key::parse) {
                Some(_) => Error::KeyAsFile,
                None => Error::Read(file.to_owned(), source),
            }
        })?;
        if let Ok(Some(Exposure::Write)) = exposure(file) {
            return Err(Error::Writable(file.to_owned()));
        }
        let mut keys: Vec<Key> = Vec::new();
        for (index, line) in text.trim_start_matches(BYTE_ORDER_MARK).lines().enumerate() {
            let (file, number, line) = (|| file.to_owned(), index + 1, line.trim());
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key =
                Key::parse(line).ok_or_else(|| Error::NotAKey { file: file(), line: number })?;
            if keys.iter().any(|other| other.id() == key.id()) {
                return Err(Error::Twice { file: file(), line: number });
            }
            keys.push(key);
        }
        let last = keys.pop().ok_or_else(|| Error::NoKey(file.to_owned()))?;
        Ok(Self { older: keys, last })
    }

    /// The key that encrypts.
    pub(crate) fn last(&self) -> &Key {
        &self.last
    }

    /// In the order of the file.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.older.iter().chain([&self.last])
    }

    fn find(&self, id: KeyId) -> Result<&Key, Error> {
        self.keys().find(|key| key.id() == id).ok_or(Error::MissingKey(id))
    }

    /// Refuses a last key that is weak.
    pub(crate) fn require_strong(&self) -> Result<(), Error> {
        let weak = |weakness| Err(Error::Weak(self.last.id(), weakness));
        self.last.weakness().map_or(Ok(()), weak)
    }

    /// Encrypts with the last key; refuses a weak one.
    pub(crate) fn encrypt(&self, secret: &Secret, binding: &Binding) -> Result<Vec<u8>, Error> {
        self.require_strong()?;
        sealed::seal(&self.last, secret, binding)
    }

    /// The secret, and the key that it is encrypted with.
    pub(crate) fn decrypt(
        &self,
        bytes: &[u8],
        binding: &Binding,
    ) -> Result<(Secret, KeyId), Error> {
        let sealed = Sealed::parse(bytes)?;
        let key = self.find(sealed.key_id())?;
        Ok((sealed.open(key, binding)?, key.id()))
    }
}

fn read(file: &Path) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    let read = File::open(file)?.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if u64::try_from(read).is_ok_and(|read| read > MOST_BYTES) {
        return Err(io::Error::other("it has more than 64 kB"));
    }
    Ok(text)
}

/// Appends a new key to the file, and makes the file where there is none. The id of the key, and how many there are now.
pub(crate) fn append_new_key(file: &Path) -> Result<(KeyId, usize), Error> {
    let before = match KeyRing::read(file) {
        Ok(ring) => ring.keys().count(),
        Err(Error::NoKey(_)) => 0,
        Err(Error::Read(_, source)) if source.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    let key = Key::generate()?;
    append(file, &key.to_base64()).map_err(|source| Error::Write(file.to_owned(), source))?;
    Ok((key.id(), before + 1))
}

/// One write, so that another program that reads meanwhile sees a whole key or none.
fn append(file: &Path, key: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut out = options.read(true).append(true).create(true).mode(OWNER_ONLY).open(file)?;
    let unfinished = fs::read(file).map(Zeroizing::new)?.last().is_some_and(|byte| *byte != b'\n');
    let line = Zeroizing::new(format!("{}{key}\n", if unfinished { "\n" } else { "" }));
    out.write_all(line.as_bytes())?;
    out.sync_all()
}
