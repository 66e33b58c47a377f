//! Deletions that met something unexpected: nothing that somebody wanted is dropped.

use serde_json::Value;

use crate::support::{ADMIN, Database, ask, expect, json};

#[tokio::test]
async fn a_table_that_was_dropped_by_hand_does_not_keep_the_others() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service_with(&[("DEPROVISION__RETENTION", "0s")]).await;
    admin.create("agt_6f78").await;
    admin.settled().await;
    admin.run("drop table public.agt_6f78_orders_items; delete from public.agents").await;
    admin.settled().await;
    assert_eq!(admin.tables("agt_6f78").await, [""; 0]);
    let last = "select outcome from provisioning.jobs order by id desc limit 1";
    assert_eq!(admin.rows(last).await, ["deprovisioned"]);
}

/// Without the cascade, which would empty the tables with the row.
const CHECKED: (&str, &str) = ("REFERENCE", "check");

#[tokio::test]
async fn a_row_that_is_put_back_under_its_id_is_an_agent_again() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.create("agt_6f78").await;
    let service = db.service_with(&[CHECKED]).await;
    admin.settled().await;
    drop(service);
    admin.run("insert into public.agt_6f78_customers (name, phone) values ('x', 'y')").await;
    let put_back = "delete from public.agents; insert into public.agents (id, agent_prefix) values (1, 'agt_6f78')";
    admin.run(put_back).await;
    let _service = db.service_with(&[CHECKED]).await;
    admin.settled().await;
    assert_eq!(admin.rows("select id from public.agents").await, ["1"]);
    assert_eq!(admin.one::<i64>("select count(*) from public.agt_6f78_customers").await, 0);
}

#[tokio::test]
async fn tables_whose_deletion_was_cancelled_are_kept_from_a_successor_too() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.create("agt_6f78").await;
    let service = db.service_with(&[CHECKED]).await;
    admin.settled().await;
    drop(service);
    admin.run("insert into public.agt_6f78_customers (name, phone) values ('x', 'y')").await;
    admin.run("delete from public.agents").await;
    let cancel = "update provisioning.jobs set state = 'cancelled', finished_at = now() where state = 'pending'";
    admin.run(cancel).await;
    admin.create("agt_6f78").await;
    let _service = db.service_with(&[CHECKED]).await;
    admin.settled().await;
    assert_eq!(admin.one::<i64>("select count(*) from public.agt_6f78_customers").await, 1);
    // Nobody is told that they are being deleted, and each place names the next.
    let url = db.url(ADMIN);
    let agents: Value = json(&ask(&url, &["agents", "list", "--json"]).await);
    let state = |id: i64| {
        agents.as_array().unwrap().iter().find(|a| a["id"] == id).unwrap()["state"].clone()
    };
    assert_eq!((state(1), state(2)), ("kept".into(), "failed".into()));
    assert_eq!(admin.rows("select state from public.agent_status(1)").await, ["kept"]);
    let found: Value = json(&ask(&url, &["doctor", "--json"]).await);
    let agents = found.as_array().unwrap().iter().find(|f| f["what"] == "agents").unwrap();
    assert_eq!(agents["severity"], "warning");
    expect(&ask(&url, &["agents", "verify"]).await, 1, &["agents show agt_6f78"]);
    expect(&ask(&url, &["agents", "show", "agt_6f78"]).await, 0, &["jobs show 2"]);
    expect(&ask(&url, &["jobs", "show", "2"]).await, 0, &["jobs replay 2"]);
    let dead: Value = json(&ask(&url, &["jobs", "show", "3", "--json"]).await);
    assert!(dead["error"].as_str().unwrap().contains("jobs replay 2"), "{dead}");
    // Neither is meant by those who speak of all.
    expect(&ask(&url, &["jobs", "replay", "--all-dead"]).await, 0, &["3"]);
    admin.settled().await;
    expect(&ask(&url, &["jobs", "approve", "2"]).await, 1, &["jobs replay 2"]);
    expect(&ask(&url, &["jobs", "replay", "2", "3"]).await, 0, &["replayed 2 jobs"]);
    admin.settled().await;
    assert_eq!(admin.rows("select state from public.agent_status(2)").await, ["ready"]);
    assert_eq!(admin.one::<i64>("select count(*) from public.agt_6f78_customers").await, 0);
    assert_eq!(
        admin.one::<i64>("select count(*) from provisioning.trash where agent_id = 1").await,
        1
    );
}

#[tokio::test]
async fn a_cancelled_deletion_does_not_come_back_for_an_agent_whose_row_was_put_back() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.create("agt_6f78").await;
    let service = db.service_with(&[CHECKED]).await;
    admin.settled().await;
    drop(service);
    let url = db.url(ADMIN);
    admin.run("delete from public.agents").await;
    expect(&ask(&url, &["jobs", "cancel", "2"]).await, 0, &[]);
    admin.run("insert into public.agents (id, agent_prefix) values (1, 'agt_6f78')").await;
    expect(&ask(&url, &["jobs", "replay", "2"]).await, 1, &["job 2: "]);
    let _service = db.service_with(&[CHECKED]).await;
    admin.settled().await;
    assert_eq!(admin.rows("select state from public.agent_status(1)").await, ["ready"]);
}

/// A sweep's job for a former agent may be seen later than the next one's, although its id is lower.
#[tokio::test]
async fn a_former_agents_deletion_that_comes_late_waits_for_the_next_agents_tables() {
    let db = Database::new().await;
    let (admin, holder) = (db.admin().await, db.admin().await);
    let settings = [
        ("DATABASE__LOCK_TIMEOUT", "50s"),
        ("WORKER__RECONCILE_INTERVAL", "1h"),
        ("REFERENCE", "check"),
    ];
    let _service = db.service_with(&settings).await;
    admin.run("alter sequence provisioning.jobs_id_seq restart 10").await;
    let former = 999;
    holder.run("begin; lock table provisioning.agent_tables in share mode").await;
    admin.create("agt_6f78").await;
    admin.held_up("agt_6f78").await;
    admin
        .run(&format!(
            "insert into provisioning.jobs (id, kind, agent_id, agent_prefix)
             overriding system value values (1, 'deprovision', {former}, 'agt_6f78');
             insert into provisioning.jobs (kind, agent_id, agent_prefix)
             values ('repair', 1000, 'agt_nobody'); notify agent_provisioning"
        ))
        .await;
    let passed_over = "select exists (select from provisioning.jobs where kind = 'repair'
                       and state = 'succeeded')";
    admin.holds(passed_over).await;
    let taken = "select count(*) from pg_stat_activity where datname = current_database()
                 and application_name = 'agent-provisioner job 1'";
    assert_eq!(admin.one::<i64>(taken).await, 0);
    holder.run("commit").await;
    admin.settled().await;
    assert_eq!(admin.tables("agt_6f78").await.len(), 4);
}
