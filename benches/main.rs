//! How long an admin waits, and how long until the agent can work: the service against the floor.
//!
//! The floor is the same SQL for the same tables, sent as one message per agent on one open
//! connection by somebody who does nothing else. Run by `cargo bench`; both are measured by turns on
//! one throwaway server that flushes its log as a production server does.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench"
)]

use std::future::poll_fn;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use agent_provisioner::agent::{AgentId, Reference, Templates};
use agent_provisioner::cluster::{Cluster, SUPERUSER};
use agent_provisioner::db;
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, NoTls};

const AGENTS: usize = 200;
const WORKER: &str = "agent_provisioner";
const DURABLE: [(&str, &str); 2] = [("fsync", "on"), ("full_page_writes", "on")];

#[tokio::main]
async fn main() {
    let cluster = Cluster::start(&DURABLE).unwrap();
    let admin = prepare(&cluster).await;
    let (alone, _) = connect(&cluster.url(WORKER, "postgres")).await;
    let (mut service, mut ready) = serve(&cluster).await;
    let templates = Templates::builtin().unwrap();
    let (mut floor, mut inserts, mut usable) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..AGENTS {
        let (prefix, id) =
            (format!("flr_{n}").parse().unwrap(), AgentId(i64::try_from(n).unwrap()));
        let sql = templates.render(&prefix, id, Reference::ForeignKey);
        let started = Instant::now();
        alone.batch_execute(&sql).await.unwrap();
        floor.push(started.elapsed());

        let started = Instant::now();
        let insert = format!("insert into public.agents (agent_prefix) values ('agt_{n}')");
        admin.batch_execute(&insert).await.unwrap();
        inserts.push(started.elapsed());
        ready.recv().await.unwrap();
        usable.push(started.elapsed());
    }
    let memory = resident(service.id());
    service.kill().unwrap();
    service.wait().unwrap();
    println!(
        "{AGENTS} agents, one after the other{:>19}{:>10}{:>12}",
        "p50 ms", "p99 ms", "p50/floor"
    );
    let base = quantile(&floor, 50);
    for (what, times) in [
        ("floor: the SQL alone", floor),
        ("the admin's INSERT", inserts),
        ("INSERT to four tables", usable),
    ] {
        let (p50, p99) = (quantile(&times, 50), quantile(&times, 99));
        println!("  {what:<40}{p50:>9.1}{p99:>10.1}{:>12.2}", p50 / base);
    }
    println!("resident memory of the service: {memory}");
}

async fn prepare(cluster: &Cluster) -> Client {
    let (root, _) = connect(&cluster.url(SUPERUSER, "postgres")).await;
    db::install_shim(&root).await.unwrap();
    let password = cluster.password();
    root.batch_execute(&format!("alter role postgres password '{password}'")).await.unwrap();
    let (mut admin, _) = connect(&cluster.url("postgres", "postgres")).await;
    db::migrate(&mut admin).await.unwrap();
    admin.batch_execute(include_str!("../deploy/roles.sql")).await.unwrap();
    admin.batch_execute(&format!("alter role {WORKER} password '{password}'")).await.unwrap();
    admin
}

/// Starts the service, and hears of every agent that is ready.
async fn serve(cluster: &Cluster) -> (Child, mpsc::UnboundedReceiver<()>) {
    let (listener, mut told) = connect(&cluster.url("postgres", "postgres")).await;
    listener.batch_execute("listen agent_provisioned; listen agent_provisioning").await.unwrap();
    let service = Command::new(env!("CARGO_BIN_EXE_agent-provisioner"))
        .arg("run")
        .env("DATABASE_URL", cluster.url(WORKER, "postgres"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    told.recv().await.unwrap(); // its listener's proof
    let (tell, ready) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let _open = listener;
        while let Some(channel) = told.recv().await {
            if channel == "agent_provisioned" {
                tell.send(()).unwrap();
            }
        }
    });
    (service, ready)
}

async fn connect(url: &str) -> (Client, mpsc::UnboundedReceiver<String>) {
    let (client, mut connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notification(heard) = message {
                tell.send(heard.channel().to_owned()).ok();
            }
        }
    });
    (client, told)
}

fn quantile(times: &[Duration], percent: usize) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() * percent / 100).unwrap().as_secs_f64() * 1000.0
}

fn resident(pid: u32) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.unwrap_or_default().trim().to_owned()
}
