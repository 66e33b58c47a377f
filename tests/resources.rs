//! What the service takes: lock slots, connections, memory, files, and lines of log.
//!
//! `RESOURCE_JOBS=20000` and `OUTAGE=600` (seconds) make two of them longer.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs;
use std::time::{Duration, Instant};

use agent_provisioner::dev_server::Stop;

use crate::failover::{bounded, since, waits};
use crate::support::{
    Admin, Database, Server, Service, WORKER, expect, finish, get, provisioner, until,
};

const PATIENT: (&str, &str) = ("DATABASE__LOCK_TIMEOUT", "50s");

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

/// What a session holds in the table that all sessions share; a few weak locks have a place of
/// their own.
async fn slots(admin: &Admin, pid: i32) -> i64 {
    admin.one(&format!("select count(*) from pg_locks where pid = {pid} and not fastpath")).await
}

#[tokio::test]
async fn a_job_holds_no_more_lock_slots_than_doctor_reckons_with() {
    let db = Database::new().await;
    let (admin, holder) = (db.admin().await, db.admin().await);
    admin.populate().await;
    let _service = db.service_with(&[PATIENT, ("WORKER__CONCURRENCY", "1")]).await;
    admin.settled().await;
    // Where everything is built, and only the registration is left to do.
    holder.run("begin; lock table provisioning.agents in share mode").await;
    admin.create("agt_6f78").await;
    let build = slots(&admin, admin.held_up("agt_6f78").await).await;
    holder.run("commit").await;
    admin.settled().await;
    // And where everything is dropped, before the configuration is switched off.
    holder.run("begin; select from public.whatsapp_configuration for update").await;
    let delete = "select from public.delete_agent((select id from public.agents where agent_prefix = 'agt_ada'))";
    admin.run(delete).await;
    let drop = slots(&admin, admin.held_up("agt_ada").await).await;
    holder.run("commit").await;
    admin.settled().await;
    eprintln!("lock slots: a build {build}, a drop {drop}");
    assert!((20..=200).contains(&build), "{build}");
    assert!((20..=200).contains(&drop), "{drop}");
    let doctor = ["1 job at a time takes up to 200 of"];
    let one = [("PROVISIONER_WORKER__CONCURRENCY", "1")];
    expect(&finish(provisioner(&db.url(WORKER)).envs(one).arg("doctor")).await, 0, &doctor);
}

/// Of the service's process: resident memory in kB, and open files.
fn taken(service: &Service) -> (u64, usize) {
    let pid = service.pid();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    (resident.trim().trim_end_matches(" kB").parse().unwrap(), files)
}

/// Jobs without agents, which are over in a moment.
async fn work_off(admin: &Admin, from: u64, to: u64) {
    admin
        .run(&format!(
            "insert into provisioning.jobs (kind, agent_id, agent_prefix)
                 select 'repair', n, 'agt_' || n from generate_series({from}, {to}) n;
             notify agent_provisioning"
        ))
        .await;
    admin.all_done().await;
}

#[tokio::test]
async fn neither_memory_nor_open_files_grow_with_the_jobs() {
    let jobs = setting("RESOURCE_JOBS").unwrap_or(1_500);
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service().await;
    let http = service.http().await;
    work_off(&admin, 1, jobs / 3).await;
    get(&http, "/metrics");
    let warm = taken(&service);
    work_off(&admin, jobs / 3 + 1, jobs).await;
    get(&http, "/metrics");
    let end = taken(&service);
    eprintln!("{jobs} jobs: {warm:?} kB and files when warm, {end:?} at the end");
    assert!(end.0 < warm.0 + 1_024, "memory: {warm:?} and {end:?} kB");
    // The pool may not have been full when warm.
    assert!(end.1 <= warm.1 + 8, "files: {warm:?} and {end:?}");
    let done = "select count(*) from provisioning.jobs where outcome = 'superseded'";
    assert_eq!(admin.one::<i64>(done).await, i64::try_from(jobs).unwrap());
}

#[tokio::test]
async fn there_are_never_more_connections_than_the_pool_and_the_listeners() {
    let db = Database::new().await;
    let (admin, holder) = (db.admin().await, db.admin().await);
    let service = db.service_with(&[PATIENT, ("DATABASE__POOL_SIZE", "6")]).await;
    let http = service.http().await;
    service.logged("\"listening\"").await;
    holder.run("begin; lock table provisioning.lock_gate in exclusive mode").await;
    let insert =
        "insert into public.agents (agent_prefix) select 'agt_' || n from generate_series(1, 4) n";
    admin.run(insert).await;
    // Each of four jobs has one, and asks for its own lock on another every three seconds.
    let look = "select pid, query_start::text, query ~ 'is_free' as asks from pg_stat_activity
                where datname = current_database() and usename = 'agent_provisioner'";
    let asked = RefCell::new(HashSet::new());
    until("each to ask twice", || async {
        get(&http, "/metrics");
        let there = admin.query(look, &[]).await.unwrap();
        assert!(there.len() <= 7, "{}", there.len());
        for row in there.iter().filter(|row| row.get("asks")) {
            asked.borrow_mut().insert((row.get::<_, i32>(0), row.get::<_, String>(1)));
        }
        (asked.borrow().len() >= 8).then_some(())
    })
    .await;
    holder.run("commit").await;
    admin.settled().await;
}

/// What a line of the log says, without its details.
fn message(line: &str) -> String {
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    line.get("message").unwrap().to_string()
}

#[tokio::test]
async fn an_outage_is_logged_once_for_each_try_and_tries_become_rare() {
    const ACTORS: usize = 5; // four workers and the listener
    let server: &'static Server = Box::leak(Box::new(Server::start(&[]).await));
    let db = server.database().await;
    let service = db.service().await;
    service.logged("\"listening\"").await;
    let before = service.log().lines().count();
    let started = Instant::now();
    let outage = Duration::from_secs(setting("OUTAGE").unwrap_or(0));
    // Not awaited inside: the server is locked until it is back.
    server.restart(Stop::Immediate, || {
        while waits(&since(&service, before)).len() < 25 || started.elapsed() < outage {
            assert!(started.elapsed() < outage + Duration::from_mins(1), "{}", service.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let log = since(&service, before);
    let (lines, lasted) = (log.lines().count(), started.elapsed());
    eprintln!("an outage of {:.0} s: {lines} lines", lasted.as_secs_f64());
    bounded(&log, ACTORS, lasted);
    // What has no next try of its own (a sweep, a look for old jobs) is told once in each of its intervals, and once where it was
    // under way when the server went.
    let turns = usize::try_from(lasted.as_secs() / 60).unwrap() + 2;
    let mut others: Vec<_> =
        log.lines().filter(|line| !line.contains("\"retry_in\"")).map(message).collect();
    others.sort_unstable();
    let seldom = others.chunk_by(|a, b| a == b).all(|alike| alike.len() <= turns);
    assert!(seldom, "{turns} turns: {log}");
    let admin = db.admin().await;
    admin.create("agt_6f78").await;
    admin.settled().await;
    assert_eq!(admin.tables("agt_6f78").await.len(), 4);
}
