//! However a test run ends, nothing that it started stays.

use std::io::{BufRead, BufReader, Write, stdout};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::{env, fs};

use crate::dev::Dev;
use crate::support::{Clock, Files, Pooler, Server, Standby, WORKER, have, said, temp_dir, until};

/// How the run is to end, for the test below in a run of its own.
const END: &str = "LEAKS_END";
const TEST: &str = "leaks::nothing_outlives_the_tests_however_they_end";

#[tokio::test]
async fn nothing_outlives_the_tests_however_they_end() {
    if !have(&["pgbouncer", "faketime"]) {
        return;
    }
    if let Ok(end) = env::var(END) {
        return start_everything(&end).await;
    }
    for end in ["KILL", "INT", "panic"] {
        let home = temp_dir().join(format!("leaks-{end}"));
        fs::create_dir(&home).unwrap();
        // For the user whom the server runs as.
        fs::set_permissions(&home, fs::Permissions::from_mode(0o777)).unwrap();
        let mut run = run(&home, end);
        let (pids, ports) = started(&mut run);
        if end != "panic" {
            // Ctrl-C goes to all of the group.
            let whom = format!("{}{}", if end == "INT" { "-" } else { "" }, run.id());
            let kill = Command::new("kill").args(["-s", end, "--", &whom]).output().unwrap();
            assert!(kill.status.success(), "{}", said(&kill));
        }
        assert!(!run.wait().unwrap().success());
        until("the programs to be gone", || async {
            pids.iter().all(|pid| !Path::new("/proc").join(pid).exists()).then_some(())
        })
        .await;
        until("the servers to be gone", || async {
            let gone = |port: &String| TcpStream::connect(format!("127.0.0.1:{port}")).is_err();
            ports.iter().all(gone).then_some(())
        })
        .await;
        until("the files to be gone", || async {
            fs::read_dir(&home).unwrap().next().is_none().then_some(())
        })
        .await;
    }
}

/// This test, in a group of its own and with a directory of its own for all that is temporary.
fn run(home: &Path, end: &str) -> Child {
    let mut tests = Command::new(env::current_exe().unwrap());
    tests.args(["--exact", TEST, "--nocapture"]).env("TMPDIR", home).env(END, end);
    tests.process_group(0).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// The pids and the ports of what a run has started.
fn started(run: &mut Child) -> (Vec<String>, Vec<String>) {
    let lines = BufReader::new(run.stdout.take().unwrap()).lines();
    let up = lines.map_while(Result::ok).find(|line| line.contains("up: ")).unwrap();
    let (_, up) = up.split_once("up: ").unwrap();
    let (pids, ports) = up.split_once(" at ").unwrap();
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    (words(pids), words(ports))
}

/// Before a kill one of each kind: server with a clock of its own, standby, pooler, service, `dev`,
/// files. The other ends are no different to the guards, and are tried on server and service.
async fn start_everything(end: &str) {
    let server: &'static Server = Box::leak(Box::new(Server::start(&[]).await));
    let standby = (end == "KILL").then(|| Standby::of(server));
    let db = server.database().await;
    let _files = Files::new(&[("any.sql", "")]);
    let (mut pids, mut ports) = (Vec::new(), vec![server.place().1.to_string()]);
    let (_clock, _pooler, _dev);
    if let Some(standby) = &standby {
        let (clock, dev) = (Clock::of(server, 0).await, Dev::start());
        let pooler = Pooler::before(&db, "session").await;
        for url in [standby.url(&db, WORKER), pooler.url(&db, WORKER), dev.url.clone()] {
            let (_, port) = url.rsplit_once(':').unwrap();
            ports.push(port.split('/').next().unwrap().to_owned());
        }
        pids.push(dev.pid().to_string());
        (_clock, _pooler, _dev) = (clock, pooler, dev);
    }
    let service = db.service().await;
    pids.push(service.pid().to_string());
    let mut out = stdout().lock();
    writeln!(out, "up: {} at {}", pids.join(" "), ports.join(" ")).unwrap();
    assert_ne!(end, "panic");
    std::future::pending::<()>().await;
}
