//! The throwaway server of `dev`: what it shows, and that nothing of it stays.

use std::io::{BufRead, BufReader, Lines};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Stdio};

use crate::support::{provisioner, said, until};

#[test]
fn the_demonstration_shows_two_agents_apart_and_one_leaving() {
    let shown = provisioner("").args(["dev", "--demo", "--once"]).output().unwrap();
    let text = said(&shown);
    assert!(shown.status.success(), "{text}");
    for line in [
        "  agt_ada_orders_items  7        2        agt_ada_orders_items_owner",
        "  agt_ada_messages_customer_id_timestamp_idx",
        "  1          1         28.90",
        "  0          0         -",
        "  t        Agent agt_ada and its tables are being deleted.",
        "  3   deprovision  agt_ada       succeeded  trashed",
    ] {
        assert!(text.contains(line), "no {line:?} in:\n{text}");
    }
    let left = text.split("What is left").nth(1).unwrap();
    assert!(left.contains("agt_ben_orders") && !left.contains("agt_ada_orders"), "{left}");
}

#[tokio::test]
async fn no_server_outlives_its_owner() {
    for signal in ["INT", "KILL"] {
        let mut dev = Dev::start();
        let reachable = || TcpStream::connect(("127.0.0.1", dev.port)).is_ok();
        assert!(reachable());
        let kill = format!("kill -{signal} {}", dev.owner.id());
        std::process::Command::new("sh").args(["-c", &kill]).status().unwrap();
        dev.owner.wait().unwrap();
        until("the server to be gone", || async { (!reachable()).then_some(()) }).await;
    }
}

/// `agent-provisioner dev`, up; killed when dropped.
pub struct Dev {
    owner: Child,
    port: u16,
    /// For psql, as printed.
    pub url: String,
    /// Open, so that it may go on writing.
    _lines: Lines<BufReader<ChildStdout>>,
}

impl Dev {
    pub fn start() -> Self {
        let mut owner = provisioner("").arg("dev").stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        let port = first.split("127.0.0.1:").nth(1).unwrap().split(' ').next().unwrap();
        let port = port.parse().unwrap();
        let printed = |line: Result<String, _>| {
            line.unwrap().trim().strip_prefix("psql '").map(str::to_owned)
        };
        let url = lines.find_map(printed);
        let url = url.unwrap().trim_end_matches('\'').to_owned();
        Self { owner, port, url, _lines: lines }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        self.owner.kill().ok();
        self.owner.wait().ok();
    }
}
