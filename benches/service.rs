//! The program itself, as an operator starts it.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::Client;

use super::server::{ADMIN, Heard, Server, WORKER};

/// What is measured.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_agent-provisioner");
/// Nothing that is measured takes as long; a run that hangs should end.
const PATIENCE: Duration = Duration::from_mins(10);

/// A running service, and an ear for what it has done. Killed when dropped.
pub struct Service {
    child: Child,
    told: Heard,
    _ear: Client,
}

impl Service {
    /// Returns when it hears notifications.
    pub async fn start(server: &Server, database: &str, settings: &[(&str, &str)]) -> Self {
        Self::through(server, &server.url(WORKER, database), database, settings).await
    }

    /// By a way of the caller's.
    pub async fn through(
        server: &Server,
        url: &str,
        database: &str,
        settings: &[(&str, &str)],
    ) -> Self {
        let (ear, mut told) = server.hear(ADMIN, database).await;
        ear.batch_execute("listen agent_provisioned; listen agent_provisioning").await.unwrap();
        let mut command = Command::new(PROGRAM);
        command.arg("run").env_clear().env("DATABASE_URL", url);
        command.env("PROVISIONER_HTTP__LISTEN", "127.0.0.1:0");
        for (key, value) in settings {
            command.env(format!("PROVISIONER_{key}"), value);
        }
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let proven = async {
            while told.recv().await.is_some_and(|(_, payload)| !payload.starts_with("proof ")) {}
        };
        timeout(PATIENCE, proven).await.unwrap();
        ear.batch_execute("unlisten agent_provisioning").await.unwrap();
        Self { child, told, _ear: ear }
    }

    /// Waits until another job is done.
    pub async fn done(&mut self) {
        loop {
            let (channel, _) = timeout(PATIENCE, self.told.recv()).await.unwrap().unwrap();
            if channel == "agent_provisioned" {
                return;
            }
        }
    }

    /// Waits until this many are.
    pub async fn all_done(&mut self, jobs: usize) {
        for _ in 0..jobs {
            self.done().await;
        }
    }

    /// Ends it without a warning.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Megabytes.
    pub fn resident(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    }

    /// Milliseconds so far, in steps of ten.
    pub fn cpu(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields = stat.rsplit_once(") ").unwrap().1.split(' ').skip(11).take(2);
        fields.map(|ticks| ticks.parse::<f64>().unwrap() * 10.0).sum()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
