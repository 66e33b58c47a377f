//! A server that answers, and refuses.

use agent_provisioner::dev_server::SUPERUSER;
use serde_json::Value;

use crate::support::{
    ADMIN, Admin, Database, Server, Service, Standby, WORKER, ask, expect, get, json, until,
};

const ONE: (&str, &str) = ("WORKER__CONCURRENCY", "1");
const LOST: &str = "worker lost its connection";
const REFUSED: &str = "the server refused a worker's statement";

async fn answers(http: &str, body: &str) {
    until(body, || async { (get(http, "/readyz").1.trim() == body).then_some(()) }).await;
}

#[tokio::test]
async fn an_error_of_a_statement_is_no_broken_connection_and_names_the_statement_once() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service_with(&[ONE, ("WORKER__POLL_INTERVAL", "20ms")]).await;
    let http = service.http().await;
    answers(&http, "ready").await;
    let claim = "execute on function provisioning.claim(text[], integer, integer)";
    admin.run(&format!("revoke {claim} from agent_provisioner")).await;
    admin.create("agt_a").await;
    service.logged(REFUSED).await;
    answers(&http, "statement_refused").await;
    let line = service.log().lines().find(|line| line.contains(REFUSED)).unwrap().to_owned();
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        line["error"],
        "cannot look at the queue: permission denied for function claim (SQLSTATE 42501)"
    );
    // Three seconds or so, in which each wait is twice as long as the one before.
    let waits = || crate::failover::waits(&service.log()).len();
    until("more tries", || async { (waits() >= 3).then_some(()) }).await;
    let longest = crate::failover::waits(&service.log()).into_iter().fold(0.0, f64::max);
    assert!(longest >= 0.5, "{longest}");
    admin.run(&format!("grant {claim} to agent_provisioner")).await;
    admin.settled().await;
    answers(&http, "ready").await;
    assert!(!service.log().contains(LOST), "{}", service.log());

    // And a connection that breaks is called that.
    let end = format!(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity
         where usename = '{WORKER}' and datname = current_database()"
    );
    admin.run(&end).await;
    service.logged(LOST).await;
    admin.create("agt_b").await;
    admin.settled().await;
}

#[tokio::test]
async fn a_standby_is_called_one() {
    let primary: &'static Server = Box::leak(Box::new(Server::start(&[]).await));
    let db = primary.database().await;
    let standby = Standby::of(primary);
    standby.caught_up(&db.admin().await).await;
    let text = "the server is a standby, which is read-only: connect to the primary";
    let (worker, owner) = (standby.url(&db, WORKER), standby.url(&db, ADMIN));
    let service = Service::start(&worker, &[]);
    service.logged(text).await;
    answers(&service.http().await, "server_read_only").await;
    for args in [&["migrate"][..], &["migrate", "down", "--to", "0"]] {
        expect(&ask(&owner, args).await, 1, &[text]);
    }
    let doctor = ask(&worker, &["doctor", "--json"]).await;
    assert_eq!(doctor.status.code(), Some(1));
    let findings = json(&doctor);
    let failures: Vec<_> = findings
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["severity"] == "failure")
        .collect();
    assert_eq!(failures.len(), 1, "{findings}");
    assert_eq!(failures[0]["what"], "writes");
    assert!(failures[0]["found"].as_str().unwrap().contains("standby"));
    // What only reads works, and what writes says why it does not.
    expect(&ask(&worker, &["jobs", "list"]).await, 0, &["no jobs"]);
    assert_eq!(json(&ask(&worker, &["status", "--json"]).await)["read_only"], "standby");
    expect(&ask(&worker, &["status"]).await, 0, &["standby"]);
    let writable = json(&ask(&db.url(WORKER), &["status", "--json"]).await);
    assert_eq!(writable["read_only"], Value::Null);
    let read_only = ["the server is read-only, as a standby or by default_transaction_read_only: "];
    let prune = ["jobs", "prune", "--older-than", "0s"];
    expect(&ask(&worker, &prune).await, 1, &read_only);
}

#[tokio::test]
async fn a_server_that_is_set_to_read_only_is_called_that() {
    let server: &'static Server = Box::leak(Box::new(Server::start(&[]).await));
    let db = server.database().await;
    let root = Admin(db.connect(SUPERUSER).await);
    root.run("set default_transaction_read_only = off").await;
    let set = async |how: &str| {
        root.run(&format!("alter system {how}")).await;
        root.run("select pg_reload_conf()").await;
    };
    let service = db.service_with(&[ONE, ("WORKER__POLL_INTERVAL", "50ms")]).await;
    let http = service.http().await;
    answers(&http, "ready").await;
    set("set default_transaction_read_only = on").await;
    root.create("agt_a").await;
    answers(&http, "server_read_only").await;
    service.logged("cannot look at the queue: the server is read-only").await;
    let second = Service::start(&db.url(WORKER), &[]);
    second.logged("the server is read-only: default_transaction_read_only is on").await;
    let doctor = json(&ask(&db.url(WORKER), &["doctor", "--json"]).await);
    let of_writes = doctor.as_array().unwrap().iter().find(|finding| finding["what"] == "writes");
    assert_eq!(of_writes.unwrap()["severity"], "failure");
    assert_eq!(json(&ask(&db.url(WORKER), &["status", "--json"]).await)["read_only"], "setting");
    set("reset default_transaction_read_only").await;
    root.settled().await;
    answers(&http, "ready").await;
}
