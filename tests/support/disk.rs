//! A disk that can be filled.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Server, temp_dir};

/// Has the server refuse to create tables as it does on a full disk, until the event trigger is dropped.
pub const FULL_DISK: &str = "
    create function public.full_disk() returns event_trigger language plpgsql as
        $$ begin raise exception 'could not extend file' using errcode = '53100'; end $$;
    create event trigger full_disk on ddl_command_start when tag in ('CREATE TABLE')
        execute function public.full_disk()";

/// A file system of two megabytes with a tablespace of a server's on it. Gone when dropped.
pub struct SmallDisk {
    mounted: PathBuf,
}

impl SmallDisk {
    /// `None` where this machine lets nobody mount one.
    pub fn mount(server: &Server) -> Option<Self> {
        let mounted = temp_dir().join("small_disk");
        fs::create_dir(&mounted).unwrap();
        let owner = fs::metadata(server.place().0).unwrap();
        let options = format!("size=2m,mode=777,uid={},gid={}", owner.uid(), owner.gid());
        let mount = ["mount", "-t", "tmpfs", "-o", &options, "tmpfs", mounted.to_str().unwrap()];
        if !run(&mount) {
            fs::remove_dir(&mounted).unwrap();
            return None;
        }
        let disk = Self { mounted };
        fs::create_dir(disk.tablespace()).unwrap();
        fs::set_permissions(disk.tablespace(), fs::Permissions::from_mode(0o700)).unwrap();
        chown(disk.tablespace(), Some(owner.uid()), Some(owner.gid())).unwrap();
        Some(disk)
    }

    /// Its directory belongs to the server's user.
    pub fn tablespace(&self) -> PathBuf {
        self.mounted.join("tablespace")
    }

    /// Until not a byte more goes onto it.
    pub fn fill(&self) {
        let mut file = fs::File::create(self.filler()).unwrap();
        while file.write_all(&[0; 512]).is_ok() {}
    }

    pub fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.mounted.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The server still has files open there.
        let _left = run(&["umount", "-l", self.mounted.to_str().unwrap()]);
    }
}

/// As root, or as somebody who may become root.
fn run(command: &[&str]) -> bool {
    let prefix: &[&str] = if is_root() { &["env"] } else { &["sudo", "-n"] };
    let mut words = prefix.iter().chain(command);
    let mut program = Command::new(words.next().unwrap());
    program.args(words).output().is_ok_and(|done| done.status.success())
}

fn is_root() -> bool {
    fs::metadata(Path::new("/proc/self")).unwrap().uid() == 0
}
