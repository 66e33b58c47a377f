//! Behind a pooler, in both of the modes that platforms offer.

use agent_provisioner::dev_server::SUPERUSER;

use crate::settings::{FILES, HOSTILE, spoil};
use crate::support::{
    Admin, Database, Files, Pooler, SHARED, Service, WORKER, ask, expect, finish, have, json,
    provisioner,
};

const HOUR: [(&str, &str); 2] =
    [("WORKER__POLL_INTERVAL", "1h"), ("WORKER__RECONCILE_INTERVAL", "1h")];
const LISTENING: &str = "\"message\":\"listening\"";
const DEAF: &str = "not listening: polling instead";

/// An agent is built, refused and replayed, and deleted; and an operator looks, by the same way.
async fn works(admin: &Admin, url: &str) {
    admin.create("agt_a").await;
    admin.settled().await;
    assert_eq!(admin.tables("agt_a").await.len(), 4);
    admin.run("create table public.agt_b_orders ()").await;
    admin.create("agt_b").await;
    admin.holds("select state = 'dead' from provisioning.jobs where agent_prefix = 'agt_b'").await;
    admin.run("drop table public.agt_b_orders").await;
    let replay = ["jobs", "replay", "--prefix", "agt_b", "--reason", "gone", "--wait"];
    expect(&ask(url, &replay).await, 0, &["replayed 1 job: 2"]);
    assert_eq!(admin.tables("agt_b").await.len(), 4);
    admin.run("delete from public.agents where agent_prefix = 'agt_a'").await;
    admin.settled().await;
    assert_eq!(admin.tables("agt_a").await, [""; 0]);
    let jobs = json(&ask(url, &["jobs", "list", "--json"]).await);
    assert_eq!(jobs.as_array().unwrap().len(), 3);
    expect(&ask(url, &["agents", "list"]).await, 0, &["agt_b"]);
    expect(&ask(url, &["agents", "show", "agt_b"]).await, 0, &["agt_b_customers"]);
    expect(&ask(url, &["jobs", "prune", "--older-than", "0s"]).await, 0, &["deleted 2 jobs"]); // the limit counts the third
}

/// What other clients of the pool find set on the connections that they share.
async fn left(pooler: &Pooler, db: &Database) -> Vec<String> {
    let mut found = Vec::new();
    let mut clients = Vec::new();
    // Each holds one, until all have been seen.
    for _ in 0..SHARED {
        let client = Admin(pooler.connect(db, WORKER).await);
        client.run("begin").await;
        found.extend(client.rows("select * from pg_listening_channels()").await);
        let set = "select name || ' = ' || setting from pg_settings where source = 'session' \
                   and name not in ('application_name', 'client_encoding')";
        found.extend(client.rows(set).await);
        clients.push(client);
    }
    found
}

#[tokio::test]
async fn in_session_mode_notifications_arrive() {
    if !have(&["pgbouncer"]) {
        return;
    }
    let db = Database::new().await;
    let admin = db.admin().await;
    let pooler = Pooler::before(&db, "session").await;
    let url = pooler.url(&db, WORKER);
    let mut service = Service::start(&url, &HOUR);
    service.logged(LISTENING).await;
    works(&admin, &url).await;
    expect(&ask(&url, &["doctor"]).await, 0, &["LISTEN delivers"]);
    assert!(!service.log().contains(DEAF));
    service.signal("TERM");
    assert_eq!(service.ended().await.code(), Some(0));
    assert_eq!(left(&pooler, &db).await, [""; 0]);
}

#[tokio::test]
async fn in_transaction_mode_it_polls_and_leaves_nothing_to_other_clients() {
    if !have(&["pgbouncer"]) {
        return;
    }
    let db = Database::new().await;
    let admin = db.admin().await;
    let pooler = Pooler::before(&db, "transaction").await;
    let url = pooler.url(&db, WORKER) + "?pgbouncer=true";
    let service = Service::start(&url, &HOUR);
    service.logged(DEAF).await;
    works(&admin, &url).await;
    let doctor = ["WARN  pooler", "set database.listen_url"];
    expect(&ask(&url, &["doctor"]).await, 0, &doctor);
    assert_eq!(service.log().matches(DEAF).count(), 1, "said once");
    assert_eq!(left(&pooler, &db).await, [""; 0]);
    let shared = "select count(*) from pg_stat_activity where datname = current_database() \
                  and usename = 'agent_provisioner'";
    assert!(admin.one::<i64>(shared).await <= i64::try_from(SHARED).unwrap());
}

/// No session has our settings there: each transaction of ours makes its own.
#[tokio::test]
async fn in_transaction_mode_settings_of_the_database_change_nothing_of_what_is_built() {
    if !have(&["pgbouncer"]) {
        return;
    }
    let (plain, db) = (Database::new().await, Database::new().await);
    let (usual, admin, files) = (plain.admin().await, db.admin().await, Files::new(&FILES));
    let _reference = files.service(&plain, &[]).await;
    usual.create("agt_a").await;
    usual.settled().await;
    let built = usual.catalog("agt_a", 1).await;

    spoil(&db, &HOSTILE[..16]).await; // but for one: the pooler's sessions are its own affair
    let pooler = Pooler::before(&db, "transaction").await;
    let url = pooler.url(&db, WORKER) + "?pgbouncer=true";
    let _service = Service::start(&url, &[("TEMPLATES", files.path())]);
    admin.create("agt_a").await;
    admin.settled().await;
    assert_eq!(admin.catalog("agt_a", 1).await, built);
    admin.run("drop index public.agt_a_customers_phone_idx").await;
    let agents = |args: &'static [&str]| {
        let mut command = provisioner(&url);
        command.env("PROVISIONER_TEMPLATES", files.path()).arg("agents").args(args);
        async move { finish(&mut command).await }
    };
    expect(&agents(&["verify"]).await, 1, &["agt_a_customers_phone_idx"]);
    expect(&agents(&["repair", "agt_a", "--wait"]).await, 0, &[]);
    expect(&agents(&["verify"]).await, 0, &["1 compared"]);
    assert_eq!(admin.catalog("agt_a", 1).await, built);
}

#[tokio::test]
async fn a_transaction_mode_pooler_that_nobody_named_is_noticed() {
    if !have(&["pgbouncer"]) {
        return;
    }
    let db = Database::new().await;
    let admin = db.admin().await;
    let pooler = Pooler::before(&db, "transaction").await;
    let url = pooler.url(&db, WORKER);
    let service = Service::start(&url, &HOUR);
    service.logged("say pgbouncer=true in its URL and set database.listen_url").await;
    works(&admin, &url).await;
    let doctor = ["WARN  notifications", "say pgbouncer=true"];
    expect(&ask(&url, &["doctor"]).await, 0, &doctor);
}

#[tokio::test]
async fn in_transaction_mode_a_listen_url_restores_notifications() {
    if !have(&["pgbouncer"]) {
        return;
    }
    let db = Database::new().await;
    let admin = db.admin().await;
    let pooler = Pooler::before(&db, "transaction").await;
    let url = pooler.url(&db, WORKER) + "?pgbouncer=true";
    let mut settings = HOUR.to_vec();
    let direct = db.url(WORKER);
    settings.push(("DATABASE__LISTEN_URL", &direct));
    let service = Service::start(&url, &settings);
    service.logged(LISTENING).await;
    works(&admin, &url).await;
    assert!(!service.log().contains(DEAF));
}

#[tokio::test]
async fn a_worker_that_is_killed_behind_a_pooler_leaves_its_job_to_the_next_one() {
    if !have(&["pgbouncer"]) {
        return;
    }
    for mode in ["session", "transaction"] {
        let db = Database::new().await;
        let (admin, holder) = (db.admin().await, db.admin().await);
        let pooler = Pooler::before(&db, mode).await;
        let url = pooler.url(&db, WORKER) + "?pgbouncer=true";
        let patient = [("DATABASE__LOCK_TIMEOUT", "50s")];
        let mut first = Service::start(&url, &patient);
        holder.run("begin; lock table provisioning.lock_gate in exclusive mode").await;
        admin.create("agt_6f78").await;
        admin.held_up("agt_6f78").await;
        first.signal("KILL");
        first.ended().await;
        let _second = Service::start(&url, &patient);
        holder.run("commit").await;
        admin.settled().await;
        assert_eq!(admin.tables("agt_6f78").await.len(), 4, "{mode}");
        let root = Admin(db.connect(SUPERUSER).await);
        let jobs = "select state, attempts from provisioning.jobs";
        assert_eq!(root.rows(jobs).await, ["succeeded|0"], "{mode}");
    }
}
