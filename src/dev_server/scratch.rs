//! The directory of a [`DevServer`](super::DevServer), and what ends both when the owner is gone.
//!
//! An owner lives as long as its directory is locked: the kernel frees the lock with the process.
//! Creating and locking are two steps; an owner that was overtaken between them, by one that
//! sweeps, leaves that directory to it and takes another.

use std::env;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{self, Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::environment;
use super::error::{Error, could_not};

/// Followed by 32 hexadecimal digits. Nothing else is ever swept.
const PREFIX: &str = "agent-provisioner-";
/// Both the user and the group `nobody`: the server refuses to run as root.
const NOBODY: u32 = 65_534;
const TRIES: u32 = 8;

/// Waits for the end of its input, then ends the server in directory `$1` and removes that. The pid
/// on file may be another process by now, hence the look at its command line. Removal fails while
/// a dying `initdb` still writes, hence the loop, which is bounded to some 15 seconds.
const CLEANUP: &str = r#"
trap '' HUP INT TERM
read -r _
n=0
while [ -d "$1" ] && [ $n -lt 600 ]; do
    n=$((n + 1))
    if read -r pid <"$1/data/postmaster.pid" &&
        case $(cat "/proc/$pid/cmdline") in *"$1/data"*) ;; *) false ;; esac
    then kill -QUIT "$pid"; sleep 0.02
    else rm -rf "$1" || sleep 0.02
    fi
done"#;

#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    account: Option<u32>,
    /// Its input is a pipe whose other end only this process has.
    guard: Child,
    _lock: File,
}

impl Scratch {
    /// A new directory with its guard; the ones whose owners died are removed on the way.
    pub(crate) fn new() -> Result<Self, Error> {
        let parent =
            path::absolute(env::temp_dir()).map_err(could_not("find the current directory"))?;
        let (path, lock) = claim(&parent)?;
        let owner = lock.metadata().map_err(could_not("inspect the new directory"))?.uid();
        let guard = spawn_cleanup(&path, Stdio::piped()).map_err(could_not("run sh"))?;
        let account = (owner == 0).then_some(NOBODY);
        chown(&path, account, account).map_err(could_not("give the directory to nobody"))?;
        sweep(&parent, [owner, account.unwrap_or(owner)]);
        Ok(Self { path, account, guard, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The user and group to run as, if the owner's own will not do.
    pub(crate) fn account(&self) -> Option<u32> {
        self.account
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Waiting closes the guard's input. It may have been killed.
        if !self.guard.wait().is_ok_and(|status| status.success()) {
            spawn_cleanup(&self.path, Stdio::null()).and_then(|mut again| again.wait()).ok();
        }
    }
}

fn claim(parent: &Path) -> Result<(PathBuf, File), Error> {
    let mut tries_left = TRIES;
    loop {
        tries_left -= 1;
        let path = parent.join(format!("{PREFIX}{}", random()?));
        let created = DirBuilder::new().mode(0o700).create(&path);
        created.map_err(could_not(&format!("create {}", path.display())))?;
        match lock(&path) {
            Ok(lock) => return Ok((path, lock)),
            Err(error) => {
                fs::remove_dir(&path).ok();
                if tries_left == 0 {
                    return Err(could_not(&format!("lock {}", path.display()))(error));
                }
            }
        }
    }
}

/// Fails if another process has the lock, or removed the directory meanwhile.
fn lock(path: &Path) -> io::Result<File> {
    let lock = File::open(path)?;
    lock.try_lock()?;
    let (mine, current) = (lock.metadata()?, fs::metadata(path)?);
    if (mine.dev(), mine.ino()) == (current.dev(), current.ino()) {
        Ok(lock)
    } else {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// Looks only at what these users own, and passes over what it may not touch or another process
/// is sweeping.
fn sweep(parent: &Path, owners: [u32; 2]) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let ours = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).is_some_and(|random| {
            random.len() == 32 && random.bytes().all(|byte| byte.is_ascii_hexdigit())
        }) && entry.metadata().is_ok_and(|it| it.is_dir() && owners.contains(&it.uid()));
        if ours && let Ok(_lock) = lock(&entry.path()) {
            spawn_cleanup(&entry.path(), Stdio::null()).and_then(|mut it| it.wait()).ok();
        }
    }
}

/// In its own process group: what ends the owner must not end it too. Without the owner's output,
/// since whoever reads that waits for every writer.
fn spawn_cleanup(path: &Path, until: Stdio) -> io::Result<Child> {
    let mut sh = Command::new("/bin/sh");
    environment::clear(&mut sh);
    sh.args(["-c", CLEANUP, "sh"]).arg(path).current_dir("/").process_group(0);
    sh.stdin(until).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

/// 32 hexadecimal digits that nobody can guess.
pub(crate) fn random() -> Result<String, Error> {
    let mut bytes = [0; 16];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(could_not("read /dev/urandom"))?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}
