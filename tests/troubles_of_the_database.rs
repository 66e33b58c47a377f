//! More troubles of a night: rights, names, room and rows that are not to be had.

use agent_provisioner::dev_server::SUPERUSER;
use serde_json::Value;

use crate::support::{ADMIN, Admin, Database, FULL_DISK, ROLES, WORKER, ask, expect, json};

/// What `doctor` fails on, and what it says to do.
async fn failures(url: &str) -> Vec<[String; 2]> {
    let findings = json(&ask(url, &["doctor", "--json"]).await);
    let failed = findings.as_array().unwrap().iter().filter(|f| f["severity"] == "failure");
    failed.map(|f| ["what", "fix"].map(|key| f[key].as_str().unwrap().to_owned())).collect()
}

async fn job(db: &Database, id: i64) -> Value {
    json(&ask(&db.url(ADMIN), &["jobs", "show", &id.to_string(), "--json"]).await)
}

#[tokio::test]
async fn rights_that_the_worker_lost_are_given_back_by_the_script_for_its_role() {
    let db = Database::new().await;
    let root = Admin(db.connect(SUPERUSER).await);
    for lost in [
        "revoke create on schema public from agent_provisioner",
        "revoke execute on function provisioning.settle from agent_provisioner",
        "revoke select on public.agents from agent_provisioner",
        "revoke usage on schema provisioning from agent_provisioner",
        "drop policy worker on provisioning.jobs",
    ] {
        root.run(lost).await;
        let failed = failures(&db.url(WORKER)).await;
        assert!(
            failed.iter().any(|[_, fix]| fix.contains("deploy/roles.sql")),
            "{lost}: {failed:?}"
        );
        root.run(ROLES).await;
        assert_eq!(failures(&db.url(WORKER)).await, [[""; 2]; 0], "{lost}");
    }
}

#[tokio::test]
async fn a_job_that_failed_for_a_lost_right_is_done_when_it_is_replayed() {
    let db = Database::new().await;
    let (admin, root) = (db.admin().await, Admin(db.connect(SUPERUSER).await));
    let _service = db.service().await;
    root.run("revoke create on schema public from agent_provisioner").await;
    admin.create("agt_new").await;
    admin.holds("select state = 'dead' from provisioning.jobs").await;
    let failed = job(&db, 1).await;
    assert_eq!(failed["sqlstate"], "42501");
    assert!(failed["next"].as_str().unwrap().contains("roles.sql"), "{failed}");
    root.run(ROLES).await;
    expect(&ask(&db.url(ADMIN), &["jobs", "replay", "1", "--wait"]).await, 0, &[]);
    assert_eq!(admin.tables("agt_new").await.len(), 4);
}

#[tokio::test]
async fn tables_of_the_base_schema_that_were_renamed_or_moved_are_brought_back_by_what_is_said() {
    let db = Database::new().await;
    let (admin, root) = (db.admin().await, Admin(db.connect(SUPERUSER).await));
    root.run("create schema crm authorization postgres").await;
    for change in [
        "alter table public.agents rename to bots",
        "alter table public.users set schema crm",
        "alter table public.agents rename to \"Bots\"; alter table public.\"Bots\" set schema crm",
        "alter table provisioning.trash rename to bin",
        "drop schema crm; alter schema public rename to crm",
    ] {
        root.run(change).await;
        let failed = failures(&db.url(ADMIN)).await;
        let fixes = failed.iter().filter_map(|[_, fix]| fix.split_once("; as postgres run: "));
        let mut fixes: Vec<&str> = fixes.map(|(_, statements)| statements).collect();
        fixes.dedup();
        assert_eq!(fixes.len(), 1, "{change}: {failed:?}");
        // Nothing else says what only follows from it.
        assert!(failed.iter().all(|[what, _]| what == "base schema"), "{failed:?}");
        // The owner of a database may rename a schema that he does not own only as a superuser.
        root.run(fixes[0]).await;
        assert_eq!(failures(&db.url(ADMIN)).await, [[""; 2]; 0], "{change}");
    }
    admin.create("agt_new").await;
}

#[tokio::test]
async fn a_renamed_column_gets_its_name_back_with_all_that_is_in_it() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.populate().await;
    let rows = "select agent_prefix, user_id from public.agents order by id";
    let before = admin.rows(rows).await;
    for (column, other) in [("user_id", "owner_id"), ("agent_prefix", "prefix")] {
        admin.run(&format!("alter table public.agents rename column {column} to {other}")).await;
        let found = json(&ask(&db.url(ADMIN), &["migrate", "verify", "--json"]).await);
        let found = found["differences"].as_array().unwrap().iter();
        let of = |found: &&Value| found["kind"] == "column" && found["change"] == "missing";
        let fixes: Vec<&str> =
            found.filter(of).map(|found| found["fix"].as_str().unwrap()).collect();
        let [fix] = fixes.as_slice() else { panic!("{fixes:?}") };
        admin.run(fix.strip_prefix("as postgres run: ").unwrap()).await;
        assert_eq!(failures(&db.url(ADMIN)).await, [[""; 2]; 0], "{column}");
        assert_eq!(admin.rows(rows).await, before);
    }
}

#[tokio::test]
async fn a_full_disk_keeps_jobs_and_the_start_waiting_and_nothing_fails() {
    let db = Database::new().await;
    let (admin, root) = (db.admin().await, Admin(db.connect(SUPERUSER).await));
    let service = db.service().await;
    root.run(FULL_DISK).await;
    admin.create("agt_new").await;
    admin.holds("select last_sqlstate = '53100' from provisioning.jobs").await;
    let waiting = job(&db, 1).await;
    assert_eq!(
        [&waiting["state"], &waiting["attempts"], &waiting["next"]],
        [&Value::from("pending"), &0.into(), &waiting["next"]],
        "{waiting}"
    );
    let shown = ask(&db.url(ADMIN), &["jobs", "show", "1"]).await;
    expect(&shown, 0, &["make room", "jobs replay 1"]);
    expect(&ask(&db.url(ADMIN), &["jobs", "list"]).await, 0, &["disk was full"]);
    drop(service);
    let later = "update provisioning.jobs set run_at = now() + interval '1 hour'";
    admin.run(later).await; // or it comes due by itself before it is replayed
    let service = crate::support::Service::start(&db.url(WORKER), &[]);
    service.logged("\"cannot begin yet\"").await;
    root.run("drop event trigger full_disk").await;
    service.logged("\"running\"").await;
    expect(&ask(&db.url(ADMIN), &["jobs", "replay", "1", "--wait"]).await, 0, &[]);
    assert_eq!(admin.tables("agt_new").await.len(), 4);
}

#[tokio::test]
async fn who_has_the_row_of_a_job_locked_is_named_with_what_ends_it() {
    let db = Database::new().await;
    let (admin, holder) = (db.admin().await, db.admin().await);
    admin.create("agt_row").await;
    holder
        .run("set application_name = 'studio'; begin; select from provisioning.jobs for update")
        .await;
    let _service = db.service().await;
    for command in [&["jobs", "list"][..], &["jobs", "show", "1"], &["doctor"], &["status"]] {
        expect(&ask(&db.url(WORKER), command).await, 0, &["studio", "agt_row"]);
    }
    let waiting = job(&db, 1).await;
    let way_out = waiting["blocked_by"][0]["way_out"].as_str().unwrap();
    admin.run(way_out).await;
    admin.settled().await;
    assert_eq!(admin.tables("agt_row").await.len(), 4);
    assert_eq!(job(&db, 1).await["blocked_by"], Value::Array(vec![]));
}
