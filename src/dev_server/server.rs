//! A throwaway PostgreSQL server, for `dev` and for the tests: real binaries, own port, own data.
//!
//! **Guarantees.** It listens on loopback only, asks for a random password and accepts connections
//! when [`DevServer::start`] returns. Neither server nor directory outlives the owner: [`Drop`]
//! removes them; if the owner is killed its guard does; if that is killed too, the user's next
//! `start` does.
//!
//! **Limits.** Linux, PostgreSQL 15 to 18. Nothing is flushed, so a power cut may lose the data; a
//! crash of the server alone loses no synchronous commit.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{fmt, thread};

use super::error::{Error, PATIENCE, could_not};
use super::scratch::{self, Scratch};
use super::{binaries, environment};

/// The bootstrap superuser. As on Supabase it is not `postgres`, which is an ordinary role there.
pub const SUPERUSER: &str = "supabase_admin";

const POLL: Duration = Duration::from_millis(5);
/// Below the kernel's ephemeral ports: while the server is stopped, no outgoing connection can be
/// given its port, not even a client's own that is retrying it.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
const PORT_TRIES: u32 = 8;
const PORT_TAKEN: &str = "could not create any TCP/IP sockets";

/// `synchronous_commit` stays on: without flushing it costs little, and what was acknowledged must
/// survive [`Stop::Immediate`].
const SETTINGS: [(&str, &str); 8] = [
    ("listen_addresses", "127.0.0.1"),
    ("unix_socket_directories", ""),
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("log_destination", "stderr"),
    ("logging_collector", "off"),
    ("log_timezone", "UTC"),
    ("timezone", "UTC"),
];

/// How [`DevServer::stop`] ends the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Ends the sessions, then writes a checkpoint (SIGINT).
    Fast,
    /// Like a crash: the next start recovers from the log (SIGQUIT).
    Immediate,
}

/// A server, running or stopped, and the directory that goes with it.
pub struct DevServer {
    bin: PathBuf,
    data: PathBuf,
    password: String,
    port: u16,
    server: Option<Child>,
    scratch: Scratch,
}

impl DevServer {
    /// A new server with these settings on top of the defaults. For root it runs as `nobody`, who
    /// must be able to reach the temporary directory (`TMPDIR`).
    pub fn start(settings: &[(&str, &str)]) -> Result<Self, Error> {
        let bin = binaries::find()?;
        let scratch = Scratch::new()?;
        let (data, password) = (scratch.path().join("data"), scratch::random()?);
        let mut cluster = Self { bin, data, password, port: 0, server: None, scratch };
        cluster.initialise(settings)?;
        for tries_left in (0..PORT_TRIES).rev() {
            cluster.port = fastrand::u16(PORTS);
            match cluster.resume() {
                Err(Error::Failed(.., log)) if log.contains(PORT_TAKEN) && tries_left > 0 => {}
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        Ok(cluster)
    }

    /// Stays the same after [`DevServer::resume`].
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The password of [`SUPERUSER`].
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Belongs to `nobody` if the owner is root. The log is `server.log` beside it.
    pub fn data_dir(&self) -> &Path {
        &self.data
    }

    /// Good for [`SUPERUSER`], and for roles that were given the same password. The names are not
    /// escaped.
    pub fn url(&self, role: &str, database: &str) -> String {
        self.url_with(role, &self.password, database)
    }

    /// Good for a role with this password.
    pub fn url_with(&self, role: &str, password: &str, database: &str) -> String {
        format!("postgres://{role}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// Returns when the server is gone. That it was gone before, for whatever reason, is fine.
    pub fn stop(&mut self, how: Stop) -> Result<(), Error> {
        let Some(server) = &mut self.server else { return Ok(()) };
        // Until it has been waited for, nothing else can have its pid.
        if exited(server)?.is_none() {
            let signal = if how == Stop::Fast { "-INT" } else { "-QUIT" };
            let mut kill = Command::new("/bin/sh");
            kill.args(["-c", r#"kill "$@""#, "sh", signal, &server.id().to_string()]);
            finish("kill", &mut kill)?;
            if until(|| exited(server))?.is_none() {
                return Err(Error::Stuck("gone", self.log_end()));
            }
        }
        self.server = None;
        Ok(())
    }

    /// Starts a stopped server again, on the same port and data. One that runs is left alone.
    pub fn resume(&mut self) -> Result<(), Error> {
        if let Some(server) = &mut self.server
            && exited(server)?.is_none()
        {
            return Ok(());
        }
        let log = OpenOptions::new().create(true).append(true).open(self.log());
        let mut postgres = self.command("postgres");
        postgres.arg("-D").arg(&self.data).args(["-p", &self.port.to_string()]);
        postgres.stdout(Stdio::null()).stderr(log.map_err(could_not("open server.log"))?);
        let spawned = postgres.spawn();
        let server = self.server.insert(spawned.map_err(could_not("run postgres"))?);
        let (pid, pid_file) = (server.id().to_string(), self.data.join("postmaster.pid"));
        let outcome = until(|| {
            let exited = exited(server)?;
            Ok((exited.is_some() || is_ready(&pid_file, &pid)).then_some(exited))
        })?;
        match outcome {
            Some(None) => Ok(()),
            Some(Some(status)) => Err(Error::Failed("postgres", status, self.log_end())),
            None => Err(Error::Stuck("ready", self.log_end())),
        }
    }

    fn initialise(&self, settings: &[(&str, &str)]) -> Result<(), Error> {
        let secret = self.scratch.path().join("password");
        let owner = self.scratch.account();
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&secret);
        file.and_then(|mut file| file.write_all(self.password.as_bytes()))
            .and_then(|()| chown(&secret, owner, owner))
            .map_err(could_not("write the password file"))?;
        let mut initdb = self.command("initdb");
        initdb.args(["--username", SUPERUSER, "--auth=scram-sha-256", "--encoding=UTF8"]);
        initdb.args(["--locale=C.UTF-8", "--no-sync", "--no-instructions", "--pwfile"]);
        finish("initdb", initdb.arg(&secret).arg("-D").arg(&self.data))?;
        fs::remove_file(&secret).map_err(could_not("remove the password file"))?;
        let lines = SETTINGS.iter().chain(settings).map(|(name, value)| {
            format!("{name} = '{}'\n", value.replace('\\', r"\\").replace('\'', "''"))
        });
        let conf = OpenOptions::new().append(true).open(self.data.join("postgresql.conf"));
        conf.and_then(|mut conf| conf.write_all(lines.collect::<String>().as_bytes()))
            .map_err(could_not("write postgresql.conf"))
    }

    /// In its own process group, as Ctrl-C is for the owner to act on; in a directory it can read.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.current_dir(self.scratch.path()).process_group(0);
        environment::clear(&mut command);
        command.stdin(Stdio::null()).env("LC_ALL", "C");
        if let Some(account) = self.scratch.account() {
            command.uid(account).gid(account);
        }
        command
    }

    fn log(&self) -> PathBuf {
        self.scratch.path().join("server.log")
    }

    fn log_end(&self) -> String {
        let log = fs::read(self.log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        lines.split_at(lines.len().saturating_sub(10)).1.join("\n")
    }
}

impl Drop for DevServer {
    fn drop(&mut self) {
        // If it fails, burying the directory is the second attempt.
        self.stop(Stop::Immediate).ok();
    }
}

impl fmt::Debug for DevServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { data, port, .. } = self;
        f.debug_struct("Cluster").field("data", data).field("port", port).finish_non_exhaustive()
    }
}

/// A password that nobody can guess.
pub fn draw_password() -> Result<String, Error> {
    scratch::random()
}

fn exited(server: &mut Child) -> Result<Option<ExitStatus>, Error> {
    server.try_wait().map_err(could_not("wait for postgres"))
}

/// Line 8, where the server writes its state, and line 1, in case the file is an earlier server's.
fn is_ready(pid_file: &Path, pid: &str) -> bool {
    let text = fs::read_to_string(pid_file).unwrap_or_default();
    let mut lines = text.lines().map(str::trim);
    lines.next() == Some(pid) && lines.nth(6) == Some("ready")
}

/// `None` when the time is up.
fn until<T>(mut step: impl FnMut() -> Result<Option<T>, Error>) -> Result<Option<T>, Error> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match step()? {
            None if Instant::now() < deadline => thread::sleep(POLL),
            outcome => return Ok(outcome),
        }
    }
}

fn finish(program: &'static str, command: &mut Command) -> Result<(), Error> {
    let place = command.get_current_dir().unwrap_or(Path::new(".")).display();
    let run = format!("run {program} in {place}");
    let output = command.output().map_err(could_not(&run))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
    Err(Error::Failed(program, output.status, said))
}
