//! PgBouncer in front of the server, as its package brings it.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::{env, fs, iter};

use tokio_postgres::{Client, NoTls};

use super::{ADMIN, Database, WORKER, until};

/// Ends the pooler when its own input ends: with the test, however that ends.
const GUARD: &str = r#""$0" -q "$1" & read -r _; kill -TERM $!"#;

/// Server connections for each role in a transaction-mode pool.
pub const SHARED: usize = 3;

/// A running pooler; ends when dropped.
pub struct Pooler {
    guard: Child,
    url: String,
}

impl Pooler {
    /// In front of one database; `mode` as `pool_mode` spells it.
    pub async fn before(db: &Database, mode: &str) -> Self {
        let (data, server) = db.server.place();
        let (home, password) = (data.parent().unwrap(), db.server.password());
        // Like the server's: below the kernel's own, so that nothing takes it meanwhile.
        let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok().then_some(port);
        let port = iter::repeat_with(|| fastrand::u16(20_000..32_000)).find_map(free).unwrap();
        // The tests share the role's limit of connections: without the retry it would wait for 15 s.
        let size = if mode == "session" { 20 } else { SHARED };
        let config = format!(
            "[databases]\n* = host=127.0.0.1 port={server}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\n\
             auth_file = {0}/{port}.users\nlogfile = {0}/{port}.log\npool_mode = {mode}\n\
             default_pool_size = {size}\n\
             server_login_retry = 0.2\n",
            home.display()
        );
        let users = [ADMIN, WORKER].map(|role| format!("\"{role}\" \"{password}\"\n")).concat();
        let owner = fs::metadata(&data).unwrap();
        let write = |name: &str, text: &str| {
            let path = home.join(format!("{port}.{name}"));
            let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
            file.unwrap().write_all(text.as_bytes()).unwrap();
            chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
            path
        };
        write("users", &users);
        let mut sh = Command::new("sh");
        sh.args(["-c", GUARD, "pgbouncer"]).arg(write("ini", &config));
        sh.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // As the server, it refuses to run as root.
        if fs::metadata("/proc/self").unwrap().uid() == 0 {
            sh.uid(owner.uid()).gid(owner.gid());
        }
        sh.env("PATH", format!("{}:/usr/sbin", env::var("PATH").unwrap()));
        let guard = sh.current_dir("/").spawn().unwrap();
        until("the pooler", || async { TcpStream::connect(("127.0.0.1", port)).ok() }).await;
        Self { guard, url: format!("127.0.0.1:{port}/{}", db.name) }
    }

    /// The way through it.
    pub fn url(&self, db: &Database, role: &str) -> String {
        format!("postgres://{role}:{}@{}", db.server.password(), self.url)
    }

    /// Another client of the same pool.
    pub async fn connect(&self, db: &Database, role: &str) -> Client {
        let (client, connection) =
            tokio_postgres::connect(&self.url(db, role), NoTls).await.unwrap();
        tokio::task::spawn(connection);
        client
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        // Waiting closes the guard's input.
        self.guard.wait().ok();
    }
}
