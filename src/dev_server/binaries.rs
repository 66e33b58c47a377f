//! Where the server's programs are.

use std::path::{self, Path, PathBuf};
use std::{env, fs};

use super::error::{Error, could_not};

/// A directory per major version, as the packages of Debian and Ubuntu lay them out.
const PACKAGED: &str = "/usr/lib/postgresql";

/// `PG_BIN_DIR` and nothing else if that is set; else the newest packaged ones; else `PATH`.
pub(crate) fn find() -> Result<PathBuf, Error> {
    let (searched, places) =
        if let Some(chosen) = env::var_os("PG_BIN_DIR").filter(|chosen| !chosen.is_empty()) {
            (format!("PG_BIN_DIR={}", chosen.display()), vec![PathBuf::from(chosen)])
        } else {
            let path = env::var_os("PATH").unwrap_or_default();
            let places = packaged().into_iter().chain(env::split_paths(&path)).collect();
            (format!("{PACKAGED}/*/bin and PATH"), places)
        };
    let complete = |dir: &PathBuf| ["initdb", "postgres"].iter().all(|it| dir.join(it).is_file());
    let found = places.into_iter().find(complete).ok_or(Error::NoBinaries(searched))?;
    // The programs are started from another directory.
    path::absolute(found).map_err(could_not("find the current directory"))
}

fn packaged() -> Vec<PathBuf> {
    let entries = fs::read_dir(PACKAGED).into_iter().flatten().flatten();
    let versions = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut versions: Vec<_> = versions.collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    let bin = |version: u32| Path::new(PACKAGED).join(version.to_string()).join("bin");
    versions.into_iter().map(bin).collect()
}
