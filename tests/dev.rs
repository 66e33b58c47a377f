//! The throwaway server of `dev`: what it shows, and that nothing of it stays.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Stdio};

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
        let (mut owner, port) = start();
        let reachable = || TcpStream::connect(("127.0.0.1", port)).is_ok();
        assert!(reachable());
        let kill = format!("kill -{signal} {}", owner.id());
        std::process::Command::new("sh").args(["-c", &kill]).status().unwrap();
        owner.wait().unwrap();
        until("the server to be gone", || async { (!reachable()).then_some(()) }).await;
    }
}

/// Starts `dev`, and returns when it is up.
fn start() -> (Child, u16) {
    let mut owner = provisioner("").arg("dev").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines().map(Result::unwrap);
    let first = lines.next().unwrap();
    let port = first.split("127.0.0.1:").nth(1).unwrap().split(' ').next().unwrap();
    let port = port.parse().unwrap();
    assert!(lines.any(|line| line.contains("The service runs")));
    (owner, port)
}
