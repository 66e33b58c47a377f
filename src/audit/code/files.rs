//! Which files are read: sources below the directories, without what other people wrote.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};

use ignore::{DirEntry, WalkBuilder};

use super::error::Error;
use crate::audit::links::{LEADS_NOWHERE, leads_nowhere};

/// Directories of installed packages and of what a build leaves, in lower case. They are passed over in any case, even
/// where a repository contains them.
const PASSED_OVER: [&str; 10] = [
    "node_modules",
    "bower_components",
    "jspm_packages",
    "vendor",
    "dist",
    "build",
    "out",
    "coverage",
    "__pycache__",
    "target",
];
const SOURCES: [&str; 10] = ["js", "mjs", "cjs", "jsx", "ts", "mts", "cts", "tsx", "vue", "svelte"];
/// Hold scripts that are not looked at.
const UNREAD: [&str; 1] = ["astro"];
/// Nobody writes a larger file by hand.
const LARGEST: u64 = 2 << 20;

/// A file to read.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    /// As the command line names the directory, and the path below it, with `/`.
    pub(super) shown: String,
}

/// What is below the directories, in the order of paths.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) sources: Vec<File>,
    /// One sentence for each file that should have been read.
    pub(super) unchecked: Vec<String>,
}

/// Obeys `.gitignore`. Follows no link, and reads no hidden file. A directory without any is an error.
pub(super) fn find(directories: &[PathBuf]) -> Result<Found, Error> {
    let mut found = Found::default();
    for directory in directories {
        let before = found.count();
        if leads_nowhere(directory) {
            found.leave(directory, LEADS_NOWHERE);
            continue;
        }
        let (refuse, refused) = mpsc::channel();
        let whole = fs::canonicalize(directory).unwrap_or_else(|_| directory.clone());
        if whole.ancestors().any(|above| !has_plain_rules(above, &refuse)) {
            found.unchecked.extend(refused.try_iter());
            continue;
        }
        let mut walk = WalkBuilder::new(directory);
        walk.require_git(false).git_global(false).git_exclude(false).filter_entry(move |entry| {
            !is_passed_over(entry)
                && (!is_directory(entry) || has_plain_rules(entry.path(), &refuse))
        });
        walk.sort_by_file_name(Ord::cmp);
        for entry in walk.build() {
            match entry {
                Ok(entry) if entry.file_type().is_some_and(|kind| kind.is_file()) => {
                    found.add(&entry)?;
                }
                Ok(entry) if entry.depth() > 0 && entry.path_is_symlink() => {
                    if is_source(&entry) || entry.path().is_dir() {
                        found.leave(entry.path(), "it is a link, which is not followed");
                    }
                }
                Ok(_) => {}
                Err(error) if error.depth().is_some_and(|depth| depth > 0) => {
                    found.unchecked.push(format!("{error}"));
                }
                Err(error) => return Err(error.into()),
            }
        }
        found.unchecked.extend(refused.try_iter());
        if found.count() == before {
            return Err(Error::NoFiles(directory.clone()));
        }
    }
    Ok(found)
}

impl Found {
    fn count(&self) -> usize {
        self.sources.len() + self.unchecked.len()
    }

    fn leave(&mut self, path: &Path, why: &str) {
        self.unchecked.push(format!("{}: not read, as {why}", shown(path)));
    }

    fn add(&mut self, entry: &DirEntry) -> Result<(), ignore::Error> {
        let path = entry.path();
        let shown = shown(path);
        let extension = extension(entry);
        if UNREAD.contains(&extension.as_str()) {
            self.unchecked.push(format!("{shown}: scripts in .{extension} files are not read"));
        } else if is_source(entry) {
            if entry.metadata()?.len() > LARGEST {
                self.unchecked.push(format!("{shown}: larger than 2 MiB, and not read"));
            } else {
                self.sources.push(File { path: path.to_owned(), shown });
            }
        }
        Ok(())
    }
}

fn extension(entry: &DirEntry) -> String {
    let extension = entry.path().extension().unwrap_or_default();
    extension.to_string_lossy().to_lowercase()
}

fn is_source(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy().to_lowercase();
    SOURCES.contains(&extension(entry).as_str()) && !is_made(&name)
}

/// A directory that is named itself is read, whatever it is called.
fn is_passed_over(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy().to_lowercase();
    entry.depth() > 0 && is_directory(entry) && PASSED_OVER.contains(&name.as_str())
}

fn is_directory(entry: &DirEntry) -> bool {
    entry.file_type().is_some_and(|kind| kind.is_dir())
}

/// Whether the rules of a directory can be read. From a pipe or a device they would be read for ever.
fn has_plain_rules(directory: &Path, refuse: &Sender<String>) -> bool {
    for name in [".gitignore", ".ignore"] {
        let rules = directory.join(name);
        if fs::metadata(&rules).is_ok_and(|rules| !rules.is_file() || rules.len() > LARGEST) {
            let why = format!("{}: not read, as its {name} is no small file", shown(directory));
            // Nobody is left to be told when the walk is over.
            refuse.send(why).ok();
            return false;
        }
    }
    true
}

/// Declarations and minified files are written by programs.
fn is_made(name: &str) -> bool {
    [".d.ts", ".d.mts", ".d.cts", ".min.js", ".min.mjs"].iter().any(|end| name.ends_with(end))
}

pub(super) fn shown(path: &Path) -> String {
    let path = path.strip_prefix(".").unwrap_or(path);
    path.to_string_lossy().replace('\\', "/")
}
