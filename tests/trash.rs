//! What becomes of deleted agents' tables where they are kept for a while.

use std::process::Output;

use serde_json::Value;

use crate::support::{
    ADA, ADMIN, Admin, CALLERS, Database, Service, ask, expect, get, json, until,
};

pub const CHECKED: (&str, &str) = ("REFERENCE", "check");
pub const KEYED: (&str, &str) = ("REFERENCE", "foreign_key");
pub const KEPT: (&str, &str) = ("DEPROVISION__RETENTION", "1h");
pub const AT_ONCE: (&str, &str) = ("DEPROVISION__RETENTION", "0s");

pub const LAST: &str =
    "select kind, state, outcome from provisioning.jobs order by id desc limit 1";

/// Everything that is in the trash, by its own books and by the catalog.
pub const TRASH: &str = "select (select count(*) from provisioning.trash)
    + (select count(*) from provisioning.trash_relations)
    + (select count(*) from pg_class where relnamespace = 'provisioning_trash'::regnamespace)
    + (select count(*) from pg_type where typnamespace = 'provisioning_trash'::regnamespace)";

pub async fn agents(db: &Database, args: &[&str]) -> Output {
    ask(&db.url(ADMIN), &[&["agents"], args].concat()).await
}

/// Two agents with rows, built by a service that keeps what it deletes.
pub async fn crm(reference: (&str, &str)) -> (Database, Admin, Service) {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service_with(&[reference, KEPT]).await;
    admin.populate().await;
    admin.settled().await;
    admin.fill(&["agt_ada", "agt_ben"]).await;
    (db, admin, service)
}

/// The rows of an agent and of its tables, and the state of its user's configuration.
pub async fn contents(admin: &Admin, prefix: &str) -> Vec<String> {
    let mut rows = admin
        .rows(&format!(
            "select a, w.is_active from public.agents a
             left join public.whatsapp_configuration w using (user_id) where agent_prefix = '{prefix}'"
        ))
        .await;
    for table in ["customers", "messages", "orders", "orders_items"] {
        rows.extend(admin.rows(&format!("select t from public.{prefix}_{table} t")).await);
    }
    rows
}

pub async fn customers(admin: &Admin, prefix: &str) -> i64 {
    admin.one(&format!("select count(*) from public.{prefix}_customers")).await
}

#[tokio::test]
async fn nobody_reads_the_trash() {
    let (_db, admin, _service) = crm(CHECKED).await;
    let admins = "grant select on public.agt_ada_orders to public, anon";
    admin.run(&format!("{admins}; select from public.delete_agent(1)")).await;
    admin.settled().await;
    let kept =
        "select trash_name from provisioning.trash_relations where kind in ('table', 'sequence')";
    let kept = admin.rows(kept).await;
    assert_eq!(kept.len(), 8);
    let acl = "select count(*) from pg_class c, aclexplode(c.relacl) a
        where c.relnamespace = 'provisioning_trash'::regnamespace and a.grantee <> c.relowner";
    assert_eq!(admin.one::<i64>(acl).await, 0);
    for who in CALLERS.iter().filter(|caller| caller.name != "postgres") {
        let books = ["provisioning.trash".to_owned(), "provisioning.trash_relations".to_owned()];
        let tables = kept.iter().map(|name| format!("provisioning_trash.{name}"));
        for table in tables.chain(books) {
            let refused = admin.ask(who, &format!("select from {table}")).await.unwrap_err();
            assert_eq!(refused.code().code(), "42501", "{} {table}", who.name);
        }
    }
}

#[tokio::test]
async fn what_could_not_be_dropped_is_not_moved() {
    let (_db, admin, _service) = crm(KEYED).await;
    admin.run("create view public.peek as select * from public.agt_ada_customers").await;
    admin.run("select from public.delete_agent(1)").await;
    admin
        .holds("select last_sqlstate = '2BP01' from provisioning.jobs order by id desc limit 1")
        .await;
    assert_eq!(admin.tables("agt_ada").await.len(), 4);
    assert_eq!(admin.one::<i64>(TRASH).await, 0);
    assert_eq!(contents(&admin, "agt_ada").await.len(), 5);
}

#[tokio::test]
async fn the_trash_is_emptied_in_time_and_nothing_holds_up_the_rest() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let settings = [("DEPROVISION__RETENTION", "1ms"), ("WORKER__RECONCILE_INTERVAL", "50ms")];
    let service = db.service_with(&[KEPT, ("WORKER__CONCURRENCY", "1")]).await;
    for prefix in ["agt_a", "agt_b", "agt_c", "agt_d"] {
        admin.create(prefix).await;
    }
    admin.settled().await;
    admin.run("select public.delete_agent(n) from generate_series(1, 3) n").await;
    admin.settled().await;
    drop(service);
    let holder = db.admin().await;
    holder.run("begin; lock table provisioning_trash._1_customers in access share mode").await;
    admin.run("create view public.peek as select * from provisioning_trash._2_customers").await;
    admin.run("update provisioning.trash set purge_at = now() where id in (1, 2)").await;
    let service = db.service_with(&settings).await;
    admin.run("delete from public.agents where id = 4").await;
    let items = |list| {
        format!("select (select array_agg(id order by id) from provisioning.trash) = '{{{list}}}'")
    };
    admin.settled().await;
    // Locked, seen by a view, and not due.
    admin.holds(&items("1,2,3")).await;
    service.logged("canceling statement due to lock timeout").await;
    holder.run("commit").await;
    admin.holds(&items("2,3")).await;
    admin.run("drop view public.peek").await;
    admin.holds(&items("3")).await;
    let left = "select distinct split_part(relname, '_', 2) from pg_class
        where relnamespace = 'provisioning_trash'::regnamespace and relkind = 'r'";
    assert_eq!(admin.rows(left).await, ["3"]);
    let address = service.http().await;
    until("the count", || async {
        get(&address, "/metrics").1.contains("agent_provisioner_purged_total 3").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_former_agent_whose_deletion_nobody_reported_is_kept_too() {
    let (db, admin, service) = crm(CHECKED).await;
    drop(service);
    admin
        .run(
            "alter table public.agents disable trigger enqueue_deprovision;
             delete from public.agents where agent_prefix = 'agt_ada';
             insert into public.agents (agent_prefix) values ('agt_ada')",
        )
        .await;
    let _service = db.service_with(&[CHECKED, KEPT]).await;
    admin.settled().await;
    assert_eq!(customers(&admin, "agt_ada").await, 0);
    admin.run("select from public.delete_agent(3)").await;
    admin.settled().await;
    let restored = agents(&db, &["restore", "agt_ada", "--item", "1", "--json"]).await;
    expect(&restored, 0, &[]);
    let report = &json(&restored)[0];
    assert_eq!((&report["id"], &report["owner_known"]), (&1.into(), &false.into()));
    assert_eq!(report["built_for"], ADA.id);
    assert_eq!(customers(&admin, "agt_ada").await, 1);
    // Nobody knows whose it was at the end; the operator is told whose it was on the first day.
    assert_eq!(admin.rows("select user_id from public.agents where id = 1").await, ["-"]);
}

#[tokio::test]
async fn a_worker_that_is_killed_on_the_way_leaves_the_agent_whole() {
    let (db, admin, service) = crm(CHECKED).await;
    drop(service);
    let holder = db.admin().await;
    let before = (contents(&admin, "agt_ada").await, admin.catalog("agt_ada", 1).await);
    // All is moved by the time the row is to go.
    holder.run("begin; select from public.agents where id = 1 for key share").await;
    let patient = [CHECKED, KEPT, ("DATABASE__LOCK_TIMEOUT", "50s")];
    let mut service = db.service_with(&patient).await;
    admin.run("select from public.delete_agent(1)").await;
    let pid = admin.held_up("agt_ada").await;
    service.signal("KILL");
    service.ended().await;
    // Its server process would notice within seconds.
    admin.run(&format!("select pg_terminate_backend({pid})")).await;
    let gone = format!("select not exists (select from pg_stat_activity where pid = {pid})");
    admin.holds(&gone).await;
    assert_eq!((contents(&admin, "agt_ada").await, admin.catalog("agt_ada", 1).await), before);
    assert_eq!(admin.one::<i64>(TRASH).await, 0);
    holder.run("commit").await;
    let _service = db.service_with(&patient).await;
    admin.settled().await;
    assert_eq!(admin.rows(LAST).await, ["deprovision|succeeded|trashed"]);
    expect(&agents(&db, &["restore", "agt_ada"]).await, 0, &["restored"]);
    assert_eq!(contents(&admin, "agt_ada").await, before.0);
}

#[tokio::test]
async fn without_retention_nothing_is_kept() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service_with(&[AT_ONCE]).await;
    admin.create("agt_a").await;
    admin.settled().await;
    admin.run("select from public.delete_agent(1)").await;
    admin.settled().await;
    assert_eq!(admin.rows(LAST).await, ["deprovision|succeeded|deprovisioned"]);
    assert_eq!(admin.one::<i64>(TRASH).await, 0);
    assert_eq!(json(&agents(&db, &["trash", "--json"]).await), Value::Array([].into()));
    expect(&agents(&db, &["restore", "agt_a"]).await, 1, &["agents trash"]);
}

#[tokio::test]
async fn an_agent_in_the_trash_keeps_the_schema_from_going_down() {
    let (db, admin, service) = crm(CHECKED).await;
    admin.run("select from public.delete_agent(1)").await;
    admin.settled().await;
    drop(service);
    let down = ask(&db.url(ADMIN), &["migrate", "down", "--to", "4", "--yes"]).await;
    expect(&down, 1, &["trash"]);
    assert_ne!(admin.one::<i64>(TRASH).await, 0);
}
