//! A server whose clock can be set while it runs, by libfaketime. Its timeouts do not come.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use agent_provisioner::dev_server::{SUPERUSER, Stop};
use tokio_postgres::NoTls;

use super::{Admin, Server, until};

/// Ends the server when its own input ends: with the test, however that ends.
const GUARD: &str = r#""$0" -D "$1" -p "$2" & read -r _; kill -QUIT $!; wait"#;
/// The loader knows what `$LIB` stands for.
const LIBRARY: &str = "/usr/$LIB/faketime/libfaketime.so.1";

/// The server's clock; the server ends when this is dropped.
pub struct Clock {
    guard: Child,
    file: PathBuf,
}

impl Clock {
    /// Stops the server and starts it again, with a clock that is so many seconds fast.
    pub async fn of(server: &Server, fast: i32) -> Self {
        let root = Admin(server.connect(SUPERUSER, "postgres").await);
        let bin: String = root.one("select setting from pg_config where name = 'BINDIR'").await;
        drop(root);
        server.stop(Stop::Fast);
        let (data, port) = server.place();
        let (home, owner) = (data.parent().unwrap(), fs::metadata(&data).unwrap());
        let file = home.join("clock");
        fs::write(&file, "").unwrap();
        chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
        let mut sh = Command::new("sh");
        sh.args(["-c", GUARD]).arg(PathBuf::from(bin).join("postgres")).arg(&data);
        sh.arg(port.to_string()).current_dir(home).env("LD_PRELOAD", LIBRARY);
        sh.env("FAKETIME_TIMESTAMP_FILE", &file).env("FAKETIME_NO_CACHE", "1");
        sh.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        sh.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // As root the server does not start.
        if fs::metadata("/proc/self").unwrap().uid() == 0 {
            sh.uid(owner.uid()).gid(owner.gid());
        }
        set(&file, fast);
        let clock = Self { guard: sh.spawn().unwrap(), file };
        let url = server.url(SUPERUSER, "postgres");
        let up = || async { tokio_postgres::connect(&url, NoTls).await.ok().map(drop) };
        until("the server", up).await;
        clock
    }

    /// Sets it: so many seconds fast from now on.
    pub fn set(&self, fast: i32) {
        set(&self.file, fast);
    }
}

/// In one step: half a file would be no time.
fn set(file: &PathBuf, fast: i32) {
    let next = file.with_extension("next");
    fs::write(&next, format!("{fast:+}s\n")).unwrap();
    fs::rename(next, file).unwrap();
}

impl Drop for Clock {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        self.guard.wait().ok();
    }
}
