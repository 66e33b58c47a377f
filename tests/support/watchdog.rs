//! What ends the programs of a test run, and removes its files, when the run is gone: also after a
//! kill. Servers and the pooler have guards of their own.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::{env, fs, process};

/// In the environment of each program that this run has started.
const MARK: &str = "TEST_RUN";

/// Waits for the end of its input, whose other end only the run has. A process is known by its
/// executable and its mark: by then a pid may be somebody else's.
const WATCH: &str = r#"
trap '' HUP INT TERM
read -r _
for process in /proc/[0-9]*; do
    case $(readlink "$process/exe") in
        "$1"*) ! grep -qzx "$2" "$process/environ" || kill -KILL "${process#/proc/}" ;;
    esac
done
rm -rf "$3""#;

struct Watchdog {
    mark: String,
    files: PathBuf,
    /// Its input closes with this process.
    _sh: Child,
}

fn watchdog() -> &'static Watchdog {
    static RUN: OnceLock<Watchdog> = OnceLock::new();
    RUN.get_or_init(|| {
        let name = format!("{}-{:016x}", process::id(), fastrand::u64(..));
        let files = env::temp_dir().join(format!("agent-provisioner-tests-{name}"));
        fs::create_dir(&files).unwrap();
        let mut sh = Command::new("sh");
        sh.args(["-c", WATCH, "sh", env!("CARGO_BIN_EXE_agent-provisioner")]);
        sh.arg(format!("{MARK}={name}")).arg(&files).current_dir("/");
        // In its own process group, out of reach of Ctrl-C.
        sh.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Watchdog { mark: name, files, _sh: sh.spawn().unwrap() }
    })
}

/// The program that is tested, which does not outlive the tests.
pub fn watched() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent-provisioner"));
    command.env_clear().env(MARK, &watchdog().mark);
    command
}

/// A directory of this run, for all tests.
pub fn temp_dir() -> PathBuf {
    watchdog().files.clone()
}
