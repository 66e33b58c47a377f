//! The SQL files of a project, in the order that their names ask for.

use std::cmp::Ordering;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::error::Error;
use super::links::{LEADS_NOWHERE, leads_nowhere};
use super::script::statements;
use crate::sql_text::{self, Statement};

/// Never part of a project's schema, whatever is in them.
const SKIPPED: [&str; 3] = ["node_modules", "target", "vendor"];
/// Directories, and ends and beginnings of names, of files that take back.
const BACK: [&str; 2] = ["down", "rollback"];

/// Nobody writes a larger one by hand, and a dump of a schema is smaller.
const LARGEST: u64 = 32 << 20;

/// A file of SQL, and what its name says of it.
#[derive(Debug)]
pub(super) struct SqlFile {
    /// As the command line names the directory, and the path below it.
    pub(super) name: String,
    /// The directory that it is in: numbers count within it.
    pub(super) directory: String,
    /// The digits that its name begins with, unless letters follow, as in a hash.
    pub(super) version: Option<String>,
    /// What follows them in the name.
    pub(super) title: String,
    /// Whether it takes another file back.
    pub(super) takes_back: bool,
    /// The digits as a number, whatever follows: they sort it among others.
    place: Option<u128>,
    pub(super) text: String,
}

impl SqlFile {
    /// Without the mark that some editors put before the text.
    fn of(directory: &Path, path: &Path, bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned();
        Self::new(&directory.to_string_lossy(), &path.to_string_lossy(), text)
    }

    fn new(directory: &str, name: &str, text: String) -> Self {
        let stem = name.rsplit('/').next().unwrap_or(name);
        let stem = stem.get(..stem.len().saturating_sub(4)).unwrap_or(stem);
        let (bare, takes_back) = direction(directory, stem);
        let digits = bare.find(|c: char| !c.is_ascii_digit()).unwrap_or(bare.len());
        let (mut version, mut title) = bare.split_at_checked(digits).unwrap_or(("", bare));
        let place = version.parse().ok();
        if title.starts_with(char::is_alphabetic) {
            (version, title) = ("", bare);
        }
        Self {
            name: name.to_owned(),
            directory: directory.to_owned(),
            version: (!version.is_empty()).then(|| version.to_owned()),
            title: title.trim_start_matches(['_', '-', '.', ' ']).to_owned(),
            takes_back,
            place,
            text,
        }
    }

    /// The number that orders it in its directory.
    pub(super) fn number(&self) -> Option<u128> {
        self.version.as_deref()?.parse().ok()
    }

    pub(super) fn statements(&self) -> Vec<Statement<'_>> {
        statements(&self.text)
    }

    /// The line of a byte, from 1.
    pub(super) fn line_at(&self, byte: usize) -> usize {
        let before = self.text.get(..byte).unwrap_or(&self.text);
        1 + sql_text::line_ends(before)
    }

    /// Whether it takes back what that file does.
    pub(super) fn undoes(&self, other: &Self) -> bool {
        if !self.takes_back || other.takes_back {
            return false;
        }
        let near = Path::new(&self.directory).parent();
        let beside = self.directory == other.directory
            || near == Some(Path::new(&other.directory))
            || near == Path::new(&other.directory).parent();
        beside
            && match (self.number(), other.number()) {
                (Some(own), Some(others)) => own == others,
                _ => self.title == other.title,
            }
    }
}

/// The name without what says in which direction it leads, and whether that is back.
fn direction<'a>(directory: &str, stem: &'a str) -> (&'a str, bool) {
    let back = |word: &str| BACK.iter().any(|end| word.eq_ignore_ascii_case(end));
    let last = directory.rsplit('/').next().unwrap_or_default();
    let (mut bare, mut takes_back) = (stem, back(last.trim_end_matches('s')));
    if let Some((head, end)) = bare.rsplit_once(['.', '_', '-'])
        && back(end)
    {
        (bare, takes_back) = (head, true);
    }
    if let Some((head, rest)) = bare.split_once(['_', '-'])
        && back(head)
    {
        (bare, takes_back) = (rest, true);
    }
    bare = bare.strip_suffix(".up").unwrap_or(bare);
    // As Flyway calls them.
    let numbered = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    match (bare.strip_prefix(['V', 'v']), bare.strip_prefix(['U', 'u'])) {
        (Some(rest), _) if numbered(rest) => (rest, takes_back),
        (_, Some(rest)) if numbered(rest) => (rest, true),
        _ => (bare, takes_back),
    }
}

/// The files below directories, and what of them was not read.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) files: Vec<SqlFile>,
    /// One sentence for each file that should have been read.
    pub(super) unchecked: Vec<String>,
}

/// All files below these directories, or the files themselves, directory by directory: those with a number first, by
/// that; the others by name. A directory without any is an error. Links to directories are not followed.
pub(super) fn read(directories: &[PathBuf]) -> Result<Found, Error> {
    let mut all = Found::default();
    for directory in directories {
        let mut found = Found::default();
        if leads_nowhere(directory) {
            found.leave(directory, LEADS_NOWHERE);
        } else if directory.is_dir() {
            found.walk(directory)?;
        } else {
            let parent = directory.parent().unwrap_or(directory);
            found.add(parent, directory).map_err(failed(directory))?;
        }
        if found.files.is_empty() && found.unchecked.is_empty() {
            return Err(Error::NoFiles(directory.clone()));
        }
        found.files.sort_by(order);
        found.mark_alone();
        all.files.extend(found.files);
        all.unchecked.extend(found.unchecked);
    }
    Ok(all)
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Read(path, source)
}

impl Found {
    fn walk(&mut self, directory: &Path) -> Result<(), Error> {
        for entry in fs::read_dir(directory).map_err(failed(directory))? {
            let entry = entry.map_err(failed(directory))?;
            let path = entry.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with('.') || SKIPPED.contains(&name.as_ref()) {
                continue;
            }
            let kind = entry.file_type().map_err(failed(&path))?;
            if kind.is_dir() {
                self.walk(&path)?;
            } else if kind.is_symlink() {
                self.leave(&path, "it is a link, which is not followed");
            } else if name.to_ascii_lowercase().ends_with(".sql") {
                self.add(directory, &path).map_err(failed(&path))?;
            }
        }
        Ok(())
    }

    /// What is no file, such as a pipe, could keep the audit waiting for ever.
    fn add(&mut self, directory: &Path, path: &Path) -> io::Result<()> {
        if !fs::metadata(path)?.is_file() {
            self.leave(path, "it is no regular file");
            return Ok(());
        }
        let mut bytes = Vec::new();
        File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > LARGEST {
            self.leave(path, "it is larger than 32 MiB");
        } else if bytes.contains(&0) {
            self.leave(path, "it has zero bytes, as UTF-16 has: save it as UTF-8");
        } else {
            self.files.push(SqlFile::of(directory, path, &bytes));
        }
        Ok(())
    }

    fn leave(&mut self, path: &Path, why: &str) {
        self.unchecked.push(format!("{}: not read, as {why}", path.display()));
    }

    /// A file that only sounds as if it took something back is one like all others.
    fn mark_alone(&mut self) {
        let undoes = |file: &SqlFile| self.files.iter().any(|other| file.undoes(other));
        let alone: Vec<bool> = self.files.iter().map(|file| !undoes(file)).collect();
        for (file, alone) in self.files.iter_mut().zip(alone) {
            file.takes_back &= !alone;
        }
    }
}

fn order(a: &SqlFile, b: &SqlFile) -> Ordering {
    let key = |file: &SqlFile| (file.place.is_none(), file.place);
    a.directory.cmp(&b.directory).then(key(a).cmp(&key(b))).then(a.name.cmp(&b.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(directory: &str, name: &str) -> SqlFile {
        SqlFile::new(directory, &format!("{directory}/{name}"), String::new())
    }

    #[test]
    fn a_name_says_number_title_and_direction() {
        let cases = [
            ("m", "0001_users.sql", Some("0001"), "users", false),
            ("m", "20240101120000_add-role.sql", Some("20240101120000"), "add-role", false),
            ("m", "0001_users.down.sql", Some("0001"), "users", true),
            ("m", "0001_users_rollback.sql", Some("0001"), "users", true),
            ("m", "rollback_0001_users.sql", Some("0001"), "users", true),
            ("m/rollbacks", "0001_users.sql", Some("0001"), "users", true),
            ("m", "0001_users.up.sql", Some("0001"), "users", false),
            ("m", "V12__users.sql", Some("12"), "users", false),
            ("m", "U12__users.sql", Some("12"), "users", true),
            ("m", "users.sql", None, "users", false),
            ("m", "9a9f9d_users.sql", None, "9a9f9d_users", false),
            ("m", "001a_users.sql", None, "001a_users", false),
            ("m", "set_up.sql", None, "set_up", false),
        ];
        for (directory, name, version, title, takes_back) in cases {
            let file = file(directory, name);
            let found = (file.version.as_deref(), file.title.as_str(), file.takes_back);
            assert_eq!(found, (version, title, takes_back), "{name}");
        }
    }

    #[test]
    fn a_file_is_taken_back_by_the_one_beside_it_with_its_number() {
        let up = file("m", "0001_users.sql");
        for (directory, name, is_its) in [
            ("m", "0001_users.down.sql", true),
            ("m/down", "0001_users.sql", true),
            ("m", "0002_users.down.sql", false),
            ("n/down", "0001_users.sql", false),
        ] {
            assert_eq!(file(directory, name).undoes(&up), is_its, "{directory}/{name}");
        }
    }
}
