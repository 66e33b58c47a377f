//! The throwaway server of `dev`: what it shows, and that nothing of it stays.

use std::env;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Lines};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::support::{expect, finish, have, json, provisioner, said, until};

#[test]
fn the_demonstration_shows_each_statement_and_its_answer() {
    let shown = provisioner("").args(["dev", "--demo", "--once"]).output().unwrap();
    let text = said(&shown);
    assert!(shown.status.success(), "{text}");
    let steps: Vec<_> = (1..=8).map(|number| Step::of(&text, number)).collect();
    let answers = [
        "boss  admin",
        "Agent agt_ben is created; its tables are being built.",
        "agt_ada_orders_items  t            2        agt_ada_orders_items_owner",
        "1          1         28.90",
        "0          0         -",
        "t        Agent agt_ada and its tables are being deleted.",
        "agt_ben_orders_items",
        "3   deprovision  agt_ada       succeeded  trashed",
    ];
    for (step, answer) in steps.iter().zip(answers) {
        assert!(step.sql.ends_with(';'), "{}", step.sql);
        assert!(step.answer.contains(answer), "no {answer:?} in:\n{}", step.answer);
    }
    let (written, left) = (&steps[3], &steps[6]);
    assert!(written.sql.contains("insert into public.agt_ada_orders_items"), "{}", written.sql);
    assert!(!left.answer.contains("agt_ada_"), "{}", left.answer);
    assert_eq!(left.command, Some("agents trash"));
    assert_eq!(text.lines().last().unwrap().trim(), format!("{} dev --demo", program()));
}

#[tokio::test]
async fn what_the_demonstration_suggests_can_be_pasted() {
    if !have(&["psql"]) {
        return;
    }
    let dev = Dev::of(&["--demo"]);
    let mut script = String::new();
    for line in dev.rest.iter().filter_map(|line| line.strip_prefix("  ")) {
        writeln!(script, "{line}\necho \"exit $?\"").unwrap();
    }
    let mut bash = Command::new("bash");
    bash.env_clear().env("PATH", env::var("PATH").unwrap()).args(["-c", &script]);
    let pasted = said(&finish(&mut bash).await);
    let codes: Vec<_> = pasted.lines().filter_map(|line| line.strip_prefix("exit ")).collect();
    // One of them finds the damage, and fails for that.
    assert_eq!(codes, ["0", "0", "0", "0", "0", "0", "0", "0", "1", "0"], "{pasted}");
    assert!(pasted.contains("Green tea"), "{pasted}");
    let ask = |args| provisioner(&dev.url).args(args).output().unwrap();
    let built = || async {
        let agents = json(&ask(["agents", "list", "--json"]));
        let ready = agents.as_array().unwrap().iter().filter(|agent| agent["state"] == "ready");
        let prefixes: Vec<_> = ready.map(|agent| agent["prefix"].clone()).collect();
        (prefixes == ["agt_ada", "agt_ben", "agt_mine"]).then_some(())
    };
    until("three agents", built).await;
    expect(&ask(["agents", "verify", "--json"]), 0, &[]);
}

#[tokio::test]
async fn no_server_outlives_its_owner() {
    for signal in ["INT", "KILL"] {
        let mut dev = Dev::start();
        let reachable = || TcpStream::connect(("127.0.0.1", dev.port)).is_ok();
        assert!(reachable());
        let kill = format!("kill -{signal} {}", dev.owner.id());
        Command::new("sh").args(["-c", &kill]).status().unwrap();
        dev.owner.wait().unwrap();
        until("the server to be gone", || async { (!reachable()).then_some(()) }).await;
    }
}

/// One of the demonstration's.
struct Step<'a> {
    sql: &'a str,
    answer: &'a str,
    command: Option<&'a str>,
}

impl<'a> Step<'a> {
    fn of(text: &'a str, number: usize) -> Self {
        let (_, step) = text.split_once(&format!("\n\n{number}. ")).unwrap();
        let mut parts = step.splitn(4, "\n\n").skip(1);
        let (sql, answer) = (parts.next().unwrap(), parts.next().unwrap());
        let (_, named) = answer.rsplit_once('\n').unwrap();
        let command = named.split_once("agent-provisioner ").map(|(_, command)| command);
        Self { sql, answer, command }
    }
}

fn program() -> &'static str {
    env!("CARGO_BIN_EXE_agent-provisioner")
}

/// `agent-provisioner dev`, up; killed when dropped.
pub struct Dev {
    owner: Child,
    port: u16,
    /// For psql, as printed.
    pub url: String,
    /// What it says after that, until it is up.
    rest: Vec<String>,
    /// Open, so that it may go on writing.
    _lines: Lines<BufReader<ChildStdout>>,
}

impl Dev {
    pub fn start() -> Self {
        Self::of(&[])
    }

    /// Of its process.
    pub fn pid(&self) -> u32 {
        self.owner.id()
    }

    fn of(args: &[&str]) -> Self {
        let mut command = provisioner("");
        let mut owner = command.arg("dev").args(args).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        let port = first.split("127.0.0.1:").nth(1).unwrap().split(' ').next().unwrap();
        let port = port.parse().unwrap();
        let printed = |line: Result<String, _>| {
            line.unwrap().trim().strip_prefix("psql '").map(str::to_owned)
        };
        let url = lines.find_map(printed);
        let url = url.unwrap().trim_end_matches('\'').to_owned();
        let rest = lines.by_ref().map(Result::unwrap);
        let rest = rest.take_while(|line| !line.starts_with("Ctrl-C")).collect();
        Self { owner, port, url, rest, _lines: lines }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        self.owner.kill().ok();
        self.owner.wait().ok();
    }
}
