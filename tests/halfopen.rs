//! A connection that is open and silent is noticed within 20 s, and replaced without a restart.
//!
//! The log names the limit that was over. The whole has more time here, as the machine may be busy.

use std::time::{Duration, Instant};

use crate::support::{Admin, Database, Files, Proxy, Service, WORKER, until};

/// Below the minute after which the server ends a session that is idle in a transaction.
const NOTICED: Duration = Duration::from_secs(45);
const ONE: (&str, &str) = ("WORKER__CONCURRENCY", "1");
const PATIENT: (&str, &str) = ("DATABASE__LOCK_TIMEOUT", "50s");
const HOUR: [(&str, &str); 2] =
    [("WORKER__POLL_INTERVAL", "1h"), ("WORKER__RECONCILE_INTERVAL", "1h")];
const LISTENING: &str = "\"message\":\"listening\"";
const JOBS: &str = "select state, outcome, attempts from provisioning.jobs order by id";

/// Waits until the service has opened so many connections.
async fn sessions(admin: &Admin, at_least: usize) {
    let open = format!(
        "select count(*) >= {at_least} from pg_stat_activity where datname = current_database()
         and usename = 'agent_provisioner'"
    );
    admin.holds(&open).await;
}

#[tokio::test]
async fn idle_workers_whose_connections_fall_silent_work_again() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let proxy = Proxy::before(&db.url(WORKER)).await;
    let listen = ("DATABASE__LISTEN_URL", &*db.url(WORKER));
    let service = Service::start(proxy.url(), &[listen]);
    service.logged(LISTENING).await;
    admin.create("agt_a").await;
    admin.settled().await;
    sessions(&admin, 4).await;
    assert!(proxy.swallow() >= 4);
    let silent = Instant::now();
    admin.create("agt_b").await;
    admin.settled().await;
    assert!(silent.elapsed() < NOTICED, "{:?}", silent.elapsed());
    service.logged("no answer within 10s").await;
    assert_eq!(admin.rows(JOBS).await, ["succeeded|provisioned|0"; 2]);
    assert!(proxy.cut() >= 1);
    admin.create("agt_c").await;
    admin.settled().await;
}

#[tokio::test]
async fn a_listener_that_falls_silent_listens_again() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let proxy = Proxy::before(&db.url(WORKER)).await;
    let mut settings = HOUR.to_vec();
    settings.push(("DATABASE__LISTEN_URL", proxy.url()));
    let service = db.service_with(&settings).await;
    service.logged(LISTENING).await;
    assert_eq!(proxy.swallow(), 1);
    let silent = Instant::now();
    service.logged("did not arrive within 5s").await;
    assert!(silent.elapsed() < NOTICED, "{:?}", silent.elapsed());
    let again = || async { (service.log().matches(LISTENING).count() == 2).then_some(()) };
    until("the listener", again).await;
    admin.create("agt_a").await;
    admin.settled().await;
}

#[tokio::test]
async fn a_job_whose_connection_falls_silent_is_recorded_as_lost_and_done_again() {
    let db = Database::new().await;
    let (admin, holder) = (db.admin().await, db.admin().await);
    let proxy = Proxy::before(&db.url(WORKER)).await;
    let service = Service::start(proxy.url(), &[ONE, PATIENT]);
    service.logged("running").await;
    holder.run("begin; lock table provisioning.lock_gate in exclusive mode").await;
    admin.create("agt_6f78").await;
    admin.held_up("agt_6f78").await;
    assert!(proxy.swallow() >= 1);
    holder.run("commit").await;
    // From here on the server waits for a client that cannot hear it.
    let silent = Instant::now();
    service.logged("in the middle of job 1").await;
    assert!(silent.elapsed() < NOTICED, "{:?}", silent.elapsed());
    admin.settled().await;
    assert_eq!(admin.rows(JOBS).await, ["succeeded|provisioned|1"]);
    assert_eq!(admin.tables("agt_6f78").await.len(), 4);
    assert!(service.log().contains("the connection fell silent"), "recorded");
}

#[tokio::test]
async fn a_commit_whose_answer_is_swallowed_counts_once() {
    let db = Database::new().await;
    let (admin, holder) = (db.admin().await, db.admin().await);
    let proxy = Proxy::before(&db.url(WORKER)).await;
    admin.create("agt_6f78").await;
    // The claim and the work pass, the record waits.
    holder.run("begin; lock table provisioning.jobs in share mode").await;
    let service = Service::start(proxy.url(), &[ONE, PATIENT]);
    admin.held_up("agt_6f78").await;
    assert!(proxy.swallow() >= 1);
    let silent = Instant::now();
    holder.run("commit").await;
    admin.settled().await;
    service.logged("the job was settled all the same").await;
    assert!(silent.elapsed() < NOTICED, "{:?}", silent.elapsed());
    assert_eq!(admin.rows(JOBS).await, ["succeeded|provisioned|0"]);
}

#[tokio::test]
async fn a_service_whose_every_connection_falls_silent_works_and_listens_again() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let proxy = Proxy::before(&db.url(WORKER)).await;
    let service = Service::start(proxy.url(), &[]);
    service.logged(LISTENING).await;
    sessions(&admin, 5).await;
    assert!(proxy.swallow() >= 5, "four workers and the listener");
    let silent = Instant::now();
    admin.create("agt_a").await;
    admin.settled().await;
    service.logged("did not arrive within 5s").await;
    assert!(silent.elapsed() < NOTICED, "{:?}", silent.elapsed());
    let again = || async { (service.log().matches(LISTENING).count() == 2).then_some(()) };
    until("the listener", again).await;
    assert_eq!(admin.rows(JOBS).await, ["succeeded|provisioned|0"]);
}

#[tokio::test]
async fn a_host_that_vanishes_in_the_middle_of_a_job_holds_it_no_longer_than_the_server_waits() {
    let db = Database::new().await;
    let (admin, holder) = (db.admin().await, db.admin().await);
    let proxy = Proxy::before(&db.url(WORKER)).await;
    let gone = Service::start(proxy.url(), &[ONE, PATIENT]);
    gone.logged("running").await;
    holder.run("begin; lock table provisioning.lock_gate in exclusive mode").await;
    admin.create("agt_6f78").await;
    let pid = admin.held_up("agt_6f78").await;
    assert!(proxy.swallow() >= 1);
    gone.signal("STOP");
    let next = db.service().await;
    holder.run("commit").await;
    // From here on the server has done what it was asked, and waits for somebody who is not there.
    let vanished = Instant::now();
    admin.settled().await;
    assert!(vanished.elapsed() < NOTICED, "{:?}", vanished.elapsed());
    // The server has ended it.
    admin.holds(&format!("select count(*) = 0 from pg_stat_activity where pid = {pid}")).await;
    assert_eq!(admin.rows(JOBS).await, ["succeeded|provisioned|0"]);
    drop(next);
    // Back again, it finds the job done, and does others.
    gone.signal("CONT");
    gone.logged("the job was settled all the same").await;
    admin.create("agt_b").await;
    admin.settled().await;
    assert_eq!(admin.rows(JOBS).await, ["succeeded|provisioned|0"; 2]);
}

/// With the built-in set as the first of them.
fn files(more: &[(&str, &str)]) -> Files {
    let first = ("0001_crm.sql", include_str!("../sql/agent/0001_crm.sql"));
    Files::new(&[&[first], more].concat())
}

#[tokio::test]
async fn a_start_whose_connection_falls_silent_begins_again_and_says_so() {
    let db = Database::new().await;
    let (admin, holder) = (db.admin().await, db.admin().await);
    let proxy = Proxy::before(&db.url(WORKER)).await;
    holder.run("begin; lock table provisioning.agents").await;
    let settings = [PATIENT, ("DATABASE__STATEMENT_TIMEOUT", "10s")];
    let start = || Service::start(proxy.url(), &settings);
    let (left_alone, mut stopped) = (start(), start());
    admin
        .holds(
            "select count(*) = 2 from pg_stat_activity where datname = current_database()
             and application_name = 'agent-provisioner' and wait_event_type = 'Lock'",
        )
        .await;
    assert_eq!(proxy.swallow(), 2);
    stopped.signal("TERM");
    assert_eq!(stopped.ended().await.code(), Some(0));
    let noticed = "fell silent: no answer within 20s";
    assert!(!left_alone.log().contains(noticed), "who is asked to stop waits for no answer");
    left_alone.logged(noticed).await;
    holder.run("rollback").await;
    left_alone.logged(r#""message":"running""#).await;
}

#[tokio::test]
async fn a_start_on_a_slow_server_takes_as_long_as_it_takes() {
    let db = Database::new().await;
    // Longer in all than the server may be silent, which is 13 s here, but never so on end.
    let names: Vec<_> = (2..=9).map(|number| format!("{number:04}_slow.sql")).collect();
    let slow: Vec<_> = names.iter().map(|name| (&**name, "select pg_sleep(1);")).collect();
    let files = files(&slow);
    let started = Instant::now();
    let _service = files.service(&db, &[("DATABASE__STATEMENT_TIMEOUT", "3s")]).await;
    assert!(started.elapsed() > Duration::from_secs(13), "{:?}", started.elapsed());
}
