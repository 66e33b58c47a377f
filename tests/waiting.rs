//! Who waits for jobs is told that nobody takes them; and what is shown of instances that are gone.

use std::io::Read;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

use crate::jobs::queue;
use crate::support::{
    ADMIN, Admin, Database, FULL_DISK, Server, WORKER, ask, expect, have, json, on_terminal,
    provisioner, until,
};
use agent_provisioner::dev_server::{SUPERUSER, Stop};

const NOBODY: &str = "no worker takes the jobs";

/// A command that runs, and what it has said so far.
struct Running {
    child: Mutex<Child>,
    said: Arc<Mutex<Vec<u8>>>,
}

impl Running {
    fn start(command: &mut std::process::Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let out: Box<dyn Read + Send> = Box::new(child.stdout.take().unwrap());
        let err: Box<dyn Read + Send> = Box::new(child.stderr.take().unwrap());
        for mut stream in [out, err] {
            let kept = Arc::clone(&said);
            thread::spawn(move || {
                let mut buffer = [0; 1024];
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    kept.lock().unwrap().extend(buffer.iter().take(read));
                }
            });
        }
        Self { child: Mutex::new(child), said }
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().unwrap()).into_owned()
    }

    async fn says(&self, any: &[&str]) {
        until("the command to say it", || async {
            any.iter().any(|text| self.said().contains(text)).then_some(())
        })
        .await;
    }

    async fn ended(&self) -> Option<i32> {
        let ended = || async { self.child.lock().unwrap().try_wait().unwrap() };
        until("the command to end", ended).await.code()
    }
}

#[tokio::test]
async fn who_waits_without_a_worker_is_told_so_before_anything_is_called_slow() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let id = admin.create("agt_a").await;
    admin.run("update provisioning.jobs set state = 'dead', finished_at = now()").await;
    let mut command = provisioner(&db.url(WORKER));
    let waiting = Running::start(command.args(["jobs", "replay", "1", "--wait"]));
    waiting.says(&[NOBODY]).await;
    assert!(!waiting.said().contains("30 s"), "{}", waiting.said());
    let _service = db.service().await;
    assert_eq!(waiting.ended().await, Some(0), "{}", waiting.said());
    // An upgrade beyond the templates of the worker that runs is taken by nobody either.
    admin
        .run(&format!(
            "insert into provisioning.jobs (kind, agent_id, agent_prefix, template_version)
             values ('upgrade', {id}, 'agt_a', 7)"
        ))
        .await;
    admin.holds("select count(*) = 1 from provisioning.instances").await;
    let mut command = provisioner(&db.url(WORKER));
    let waiting = Running::start(command.args(["jobs", "replay", "2", "--wait"]));
    waiting.says(&[NOBODY]).await;
    expect(&ask(&db.url(ADMIN), &["jobs", "cancel", "2"]).await, 0, &[]);
    assert_eq!(waiting.ended().await, Some(0), "{}", waiting.said());
}

#[tokio::test]
async fn on_a_terminal_the_bar_goes_on_while_nothing_moves() {
    if !have(&["script"]) {
        return;
    }
    let db = Database::new().await;
    let admin = db.admin().await;
    queue(&admin, &[("repair", 1, "agt_a", "dead")]).await;
    let replay = || on_terminal(&db.url(WORKER), "jobs replay 1 --wait");
    let plain = Running::start(replay().env("TERM", "dumb"));
    plain.says(&[NOBODY]).await;
    let waiting = Running::start(&mut replay());
    waiting.says(&[NOBODY]).await;
    // Nothing but a tick draws these: a stall is told after 30 seconds.
    let seconds: Vec<String> = (4..30).map(|second| format!(" {second}s")).collect();
    waiting.says(&seconds.iter().map(String::as_str).collect::<Vec<_>>()).await;
    admin.run("update provisioning.jobs set state = 'cancelled', finished_at = now()").await;
    assert_eq!(waiting.ended().await, Some(0), "{}", waiting.said());
    assert_eq!(plain.ended().await, Some(0), "{}", plain.said());
}

/// Waits until the instance that runs has shown itself twice more.
async fn shown_again(admin: &Admin) {
    let latest = "select max(seen_at)::text from provisioning.instances where isfinite(seen_at)";
    for _ in 0..2 {
        let before: String = admin.one(latest).await;
        admin.holds(&format!("select ({latest}) > '{before}'")).await;
    }
}

#[tokio::test]
async fn an_instance_that_was_killed_is_told_for_an_hour_or_until_it_is_replaced() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service().await;
    admin.holds("select count(*) = 1 from provisioning.instances").await;
    let host: String = admin.one("select host from provisioning.instances").await;
    let gone = |id: i32, host: &str, seen: &str| {
        format!(
            "insert into provisioning.instances (id, host, pid, version, settings, started_at, seen_at)
             values ({id}, '{host}', 7, '0.1.0', '{{}}', {seen} - interval '1 hour', {seen});"
        )
    };
    let rows = [
        gone(1, "app-1", "now() - interval '59 minutes'"),
        gone(2, "app-2", "now() - interval '61 minutes'"),
        gone(
            3,
            &host,
            "(select started_at - interval '1 minute' from provisioning.instances where seen_at > now() - interval '20 s' limit 1)",
        ),
    ];
    admin.run(&rows.concat()).await;
    shown_again(&admin).await;
    let left = "select id from provisioning.instances where pid = 7 order by id";
    assert_eq!(admin.rows(left).await, ["1"]);
    for role in [WORKER, ADMIN] {
        let status = json(&ask(&db.url(role), &["status", "--json"]).await);
        let instances = status["instances"].as_array().unwrap();
        let running: Vec<_> = instances
            .iter()
            .map(|it| (it["pid"] == service.pid(), it["running"] == true))
            .collect();
        assert!(running.len() == 2 && running.iter().all(|(own, runs)| own == runs), "{status}");
        let findings = json(&ask(&db.url(role), &["doctor", "--json"]).await);
        let told = |finding: &&Value| {
            finding["what"] == "workers"
                && finding["severity"] == "warning"
                && finding["found"].as_str().unwrap().contains("app-1")
        };
        assert_eq!(findings.as_array().unwrap().iter().filter(told).count(), 1, "{findings}");
    }
}

#[tokio::test]
async fn an_instance_of_no_known_time_breaks_nothing_and_is_forgotten() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin
        .run(
            "insert into provisioning.instances (id, host, pid, version, settings, state, started_at, seen_at) values
                 (1, 'app-1', 7, '0.1.0', '{}', '{\"last_sweep\": \"infinity\"}', '-infinity', 'infinity'),
                 (2, 'app-2', 7, '0.1.0', '{}', '{\"last_sweep\": \"-infinity\"}', 'infinity', '-infinity')",
        )
        .await;
    for role in [WORKER, ADMIN] {
        let status = json(&ask(&db.url(role), &["status", "--json"]).await);
        let ages = |it: &Value| [it["started_age"].clone(), it["seen_age"].clone()];
        let found: Vec<_> = status["instances"].as_array().unwrap().iter().map(ages).collect();
        assert_eq!(found, [[Value::Null, Value::Null], [Value::Null, Value::Null]], "{status}");
        expect(&ask(&db.url(role), &["status"]).await, 0, &["app-1", "gone"]);
        expect(&ask(&db.url(role), &["doctor"]).await, 0, &["app-2"]);
    }
    let _service = db.service().await;
    admin.holds("select count(*) filter (where pid = 7) = 0 and count(*) = 1 from provisioning.instances").await;
}

#[tokio::test]
async fn an_age_that_no_row_has_is_a_usage_error() {
    let db = Database::new().await;
    for args in [
        &["jobs", "list", "--since", "5000000y"][..],
        &["jobs", "list", "--since", "101y"],
        &["jobs", "prune", "--older-than", "300000000000y"],
        &["agents", "restore", "--deleted-since", "999y"],
    ] {
        expect(&ask(&db.url(WORKER), args).await, 2, &[args[2]]);
    }
    expect(&ask(&db.url(WORKER), &["jobs", "list", "--since", "99y"]).await, 0, &[]);
}

#[tokio::test]
async fn who_waits_goes_on_when_the_server_has_restarted() {
    let server: &'static Server = Box::leak(Box::new(Server::start(&[]).await));
    let db = server.database().await;
    let admin = db.admin().await;
    let service = db.service().await;
    admin.create("agt_a").await;
    admin.create("agt_b").await;
    admin.settled().await;
    drop(service);
    admin
        .run("update provisioning.jobs set state = 'dead', finished_at = now() where id = 1")
        .await;
    let url = db.url(WORKER);
    let (mut replay, mut convert) = (provisioner(&url), provisioner(&url));
    let replaying = Running::start(replay.args(["jobs", "replay", "1", "--wait"]));
    let converting = Running::start(convert.args([
        "agents",
        "convert",
        "--reference",
        "check",
        "--wait",
        "agt_b",
    ]));
    replaying.says(&[NOBODY]).await;
    converting.says(&[NOBODY]).await;
    server.restart(Stop::Fast, || ());
    replaying.says(&["connect again"]).await;
    let _service = db.service().await;
    assert_eq!(replaying.ended().await, Some(0), "{}", replaying.said());
    assert_eq!(converting.ended().await, Some(0), "{}", converting.said());
}

#[tokio::test]
async fn who_waits_for_jobs_that_a_full_disk_puts_off_is_told_so() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    let root = Admin(db.connect(SUPERUSER).await);
    root.run(FULL_DISK).await;
    admin.create("agt_a").await;
    admin.holds("select last_sqlstate = '53100' from provisioning.jobs").await;
    let mut command = provisioner(&db.url(WORKER));
    let waiting = Running::start(command.args(["jobs", "replay", "1", "--wait"]));
    waiting.says(&["disk is full: 1 job is put off"]).await;
    root.run("drop event trigger full_disk").await;
    root.run("update provisioning.jobs set run_at = now() where state = 'pending'").await;
    assert_eq!(waiting.ended().await, Some(0), "{}", waiting.said());
    assert!(!waiting.said().contains("30 s"), "{}", waiting.said());
}
