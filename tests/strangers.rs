//! What a login that may do nothing can do to the service: nothing without being named.

use agent_provisioner::dev_server::SUPERUSER;
use serde_json::Value;

use crate::support::{ADMIN, Admin, Database, WORKER, ask, expect, json};

/// A session of a role of its own that has no rights, and calls itself a worker's.
async fn impostor(db: &Database, root: &Admin, job: i64) -> (String, Admin) {
    let role = format!("stranger_of_{}", db.name);
    root.run(&format!("create role {role} login password '{}'", db.server.password())).await;
    let session = Admin(db.connect(&role).await);
    session.run(&format!("set application_name = 'agent-provisioner job {job}'")).await;
    (role, session)
}

#[tokio::test]
async fn who_has_locked_a_prefix_is_named_and_nobody_is_taken_for_a_worker_by_his_name() {
    let db = Database::new().await;
    let (admin, root) = (db.admin().await, Admin(db.connect(SUPERUSER).await));
    let (role, stranger) = impostor(&db, &root, 1).await;
    let service = db.service_with(&[("WORKER__RECONCILE_INTERVAL", "1s")]).await;
    let lock = "select pg_advisory_lock(hashtextextended('agt_6f78', 7018690069354541686)), pg_advisory_lock(7018690069354541686)";
    stranger.run(lock).await;
    let pid: i32 = stranger.one("select pg_backend_pid()").await;
    admin.create("agt_6f78").await;
    admin.create("agt_other").await;
    admin
        .holds("select exists (select from provisioning.agents where agent_prefix = 'agt_other')")
        .await;
    service.logged(&format!("backend {pid} (agent-provisioner job 1, user {role}")).await;
    for url in [db.url(ADMIN), db.url(WORKER)] {
        let job: Value = json(&ask(&url, &["jobs", "show", "1", "--json"]).await);
        assert_eq!(job["state"], "pending");
        assert_eq!(job["running"], Value::Null);
        assert_eq!(job["blocked_by"][0]["pid"], pid);
        assert_eq!(job["blocked_by"][0]["prefix"], "agt_6f78");
        let held_up = format!("pg_terminate_backend({pid})");
        expect(&ask(&url, &["jobs", "show", "1"]).await, 0, &[&role, &held_up]);
        expect(&ask(&url, &["jobs", "list"]).await, 0, &[&role]);
        let found: Value = json(&ask(&url, &["doctor", "--json"]).await);
        let locks = found.as_array().unwrap().iter().find(|f| f["what"] == "locks").unwrap();
        assert_eq!(locks["severity"], "warning");
        assert!(locks["found"].as_str().unwrap().contains(&role), "{locks}");
    }
    root.run(&format!("select pg_terminate_backend({pid})")).await;
    admin.settled().await;
    assert_eq!(admin.tables("agt_6f78").await.len(), 4);
    let found: Value = json(&ask(&db.url(ADMIN), &["doctor", "--json"]).await);
    assert!(
        found.as_array().unwrap().iter().any(|f| f["what"] == "locks" && f["severity"] == "ok")
    );
}

#[tokio::test]
async fn what_he_locks_keeps_nobody_from_sweeping_deleting_and_counting() {
    let db = Database::new().await;
    let (admin, root) = (db.admin().await, Admin(db.connect(SUPERUSER).await));
    let (role, stranger) = impostor(&db, &root, 1).await;
    root.run(&format!("grant usage on schema provisioning to {role}")).await;
    for gate in ["lock_gate", "sweep_gate", "limit_gate"] {
        for mode in ["access share", "exclusive"] {
            let lock = format!("lock table provisioning.{gate} in {mode} mode");
            let refused = stranger.attempt("begin", &lock).await.unwrap_err();
            assert_eq!(refused.code().code(), "42501", "{gate} {mode}");
            stranger.run("rollback").await;
        }
    }
    // The advisory locks that once were ours.
    stranger
        .run("select pg_advisory_lock(7018690069354541686), pg_advisory_lock(7018690069353751916)")
        .await;
    admin.run("alter table public.agents disable trigger user, enable trigger guard_agent").await;
    admin.create("agt_6f78").await;
    let _service = db.service_with(&[("REFERENCE", "check")]).await;
    admin.holds("select exists (select from provisioning.agents)").await;
    assert!(admin.one::<bool>("select success from public.delete_agent(1)").await);
    admin.settled().await;
    assert_eq!(admin.tables("agt_6f78").await, [] as [&str; 0]);
}

#[tokio::test]
async fn a_sweep_that_hangs_keeps_nobody_from_asking_for_a_deletion() {
    let db = Database::new().await;
    let (admin, sweep) = (db.admin().await, db.admin().await);
    admin.create("agt_6f78").await;
    let _service = db.service_with(&[("REFERENCE", "check")]).await;
    admin.settled().await;
    sweep.run("begin; lock table provisioning.sweep_gate in exclusive mode").await;
    assert!(admin.one::<bool>("select success from public.delete_agent(1)").await);
    admin.settled().await;
    assert_eq!(admin.tables("agt_6f78").await, [] as [&str; 0]);
}

#[tokio::test]
async fn who_keeps_a_migration_waiting_is_named() {
    let db = Database::empty().await;
    let root = Admin(db.connect(SUPERUSER).await);
    let (role, stranger) = impostor(&db, &root, 1).await;
    stranger.run("select pg_advisory_lock(7018690069354342759)").await;
    let url = db.url(ADMIN);
    let migrating = ask(&url, &["migrate"]);
    let ending = async {
        // It waits two minutes by itself.
        let waits =
            "select pid from pg_locks where locktype = 'advisory' and not granted and database =
            (select oid from pg_database where datname = current_database())";
        root.holds(&format!("select exists ({waits})")).await;
        root.run(&format!("select pg_cancel_backend(pid) from ({waits}) w")).await;
    };
    let (migrated, ()) = tokio::join!(migrating, ending);
    expect(&migrated, 1, &[&format!("of role {role}")]);
}

/// Without a key to agents a deletion asks for no lock on the table beforehand.
#[tokio::test]
async fn who_keeps_a_deletion_from_the_agents_row_is_named() {
    let db = Database::new().await;
    let (admin, holder) = (db.admin().await, db.admin().await);
    let service =
        db.service_with(&[("REFERENCE", "check"), ("DATABASE__LOCK_TIMEOUT", "50ms")]).await;
    admin.create("agt_6f78").await;
    admin.settled().await;
    holder.run("begin; lock table public.agents in share mode").await;
    let pid: i32 = holder.one("select pg_backend_pid()").await;
    assert!(admin.one::<bool>("select success from public.delete_agent(1)").await);
    service.logged(&format!("backend {pid} (")).await;
    let id: i64 = admin.one("select max(id) from provisioning.jobs").await;
    let job: Value =
        json(&ask(&db.url(WORKER), &["jobs", "show", &id.to_string(), "--json"]).await);
    assert_eq!(job["blocked_by"][0]["pid"], pid, "{job}");
    let found: Value = json(&ask(&db.url(ADMIN), &["doctor", "--json"]).await);
    let locks = found.as_array().unwrap().iter().find(|f| f["what"] == "locks").unwrap();
    assert_eq!(locks["severity"], "warning");
    holder.run("commit").await;
    admin.settled().await;
    assert_eq!(admin.one::<i64>("select count(*) from public.agents").await, 0);
}
